"""The style networks' page: what it says of the paper's claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from robust.stats.intervals import Interval
from robust.studies import style as study
from robust.style.samples import PAGE_WIDTH
from styletransfer.images.drawn import STYLES
from styletransfer.zoo import StyleCheckpoint


def share(situation: str, variant: str, value: float, answer: str) -> dict[str, Any]:
    numbers = {"share": value, "low": value - 0.1, "high": value + 0.1, "answer": answer}
    advantage = {"mean": 1.0, "low": 0.5, "high": 1.5, "over": "seeds and images"}
    said = {"situation": situation, "metric": "loss", "variant": variant, "against": None}
    return {**said, **numbers, "advantage": advantage}


def summary(noise: str, ours: float, answer: str) -> dict[str, Any]:
    attacked = f"{noise}, attacked"
    return {
        "shares": [
            share("clean", "bn+asr", 0.2, "contradicted"),
            share("clean", "bn (n = 1)", 0.8, "inconclusive"),
            share(attacked, "bn+asr", ours, answer),
            share(attacked, "bn+frozen", 0.5, "contradicted"),
            {**share(attacked, "bn+asr", 0.9, "supported"), "against": "bn+frozen"},
            {**share(attacked, "bn+asr", 0.9, "supported"), "metric": "blur"},
        ]
    }


SUMMARIES = {
    ("mosaic", "batch"): summary("batch", 0.3, "contradicted"),
    ("mosaic", "random"): summary("random", 1.0, "inconclusive"),
    ("waves", "batch"): summary("batch", 0.4, "contradicted"),
    ("waves", "random"): summary("random", 1.2, "supported"),
}


def test_lines_give_the_shares_under_batch_noise() -> None:
    blur = {
        "mosaic": Interval(0.05, 0.01, 0.09, "seeds and images"),
        "waves": Interval(0.05, -0.01, 0.11, "seeds and images"),
    }
    more, back = study.lines(SUMMARIES, blur)
    assert more.answer == "inconclusive"
    assert more.found.endswith("mosaic +0.050 [0.010, 0.090], waves +0.050 [-0.010, 0.110]")
    assert (back.shows, back.answer) == ("Fig. 14–16", "contradicted")
    assert "mosaic 30 % [20, 40], over seeds and images, waves 40 %" in back.found


def test_without_batch_noise_the_claim_is_not_tested() -> None:
    *_, back = study.lines({("mosaic", "random"): SUMMARIES["mosaic", "random"]}, {})
    assert (back.answer, back.found) == ("not tested", "")


def test_one_training_seed_decides_no_claim() -> None:
    blur = {"mosaic": Interval(0.05, 0.01, 0.09, "images only (one seed)")}
    more, *_ = study.lines(SUMMARIES, blur)
    assert more.answer == "inconclusive"


def test_the_table_has_a_row_a_situation_and_a_column_a_variant() -> None:
    table = study.shares(SUMMARIES)
    assert table.head == ("style", "situation", "BN+ASR", "BN (n = 1)", "BN+frozen", "answer")
    rows = [[cell.text for cell in row] for row in table.rows]
    assert [row[:2] for row in rows[:3]] == [
        ["mosaic", "clean"], ["mosaic", "batch, attacked"], ["mosaic", "random, attacked"],
    ]  # fmt: skip
    assert rows[1][2:] == ["30 % [20, 40]", "", "50 % [40, 60]", "contradicted"]
    assert rows[0][3] == "80 % [70, 90]"


def test_compared_are_the_styles_with_several_seeds_of_the_norms_in_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def networks(style: str, norms: Sequence[str], seeds: Sequence[int]) -> list[StyleCheckpoint]:
        return [StyleCheckpoint(style, n, seed, Path(), "") for n in norms for seed in seeds]

    asked = ("in", "bn", "bn+asr")
    found = [
        *networks("a", asked, (0, 1)),
        *networks("b", asked[:2], (0, 1)),
        *networks("c", asked, (0,)),
    ]
    monkeypatch.setattr(study, "shipped", lambda: found)
    assert study.compared() == ["a"]


def test_more_blur_is_paired_over_draws_and_severities(tmp_path: Path) -> None:
    """By hand: IN 1, 2 on two images; BN's two draws are 1 above on average, the control aside."""
    rows = ["norm,noise,severity,seed,image,metric,value"]
    for image, base in (("a", 1), ("b", 2)):
        for severity in ("2", "4"):
            rows.append(f"in,batch,{severity},0,{image},blur,{base}")
            rows += [f"bn,batch,{severity},0,{image},blur,{base + more}" for more in (0.5, 1.5)]
        rows.append(f"bn,batch,1,0,{image},blur,99")
        rows.append(f"bn,batch,2,0,{image},ssim,99")
        rows.append(f"bn,clean,,0,{image},blur,99")
    rows.append("bn,batch,4,0,b,blur,7.5")
    file = tmp_path / "metrics.csv"
    file.write_text("\n".join(rows) + "\n")
    # image b, severity 4: draws 2.5, 3.5, 7.5, so 2.5 above; with severity 2, (1 + 2.5) / 2
    assert study.more_blur(file).mean == pytest.approx((1 + 1.75) / 2)


@pytest.mark.slow
def test_the_gallery_has_a_row_for_each_style(tmp_path: Path) -> None:
    study.gallery(tmp_path / "styles.jpg")
    with Image.open(tmp_path / "styles.jpg") as picture:
        assert picture.width == pytest.approx(PAGE_WIDTH, rel=0.02)
        cell = picture.width / 5  # four photographs, and the labels' column
        assert picture.height > cell * (1 + len(STYLES.names()))
