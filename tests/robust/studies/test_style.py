"""The style networks' page: what it says of the paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.stats.intervals import Interval
from robust.studies import style as study

NONE = "inconclusive"


def share(situation: str, variant: str, answer: str, **other: Any) -> dict[str, Any]:
    advantage = {"mean": 1.0, "low": 0.5, "high": 1.5, "over": "seeds and images"}
    numbers = {"share": 0.5, "low": 0.25, "high": 0.75, "advantage": advantage}
    keys = {"situation": situation, "variant": variant, "answer": answer}
    return {**keys, "metric": "loss", "against": None, **numbers, **other}


def summaries(answers: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Both styles under each noise, with shares that are not to be taken."""
    return {
        f"{style}, {noise} noise": {
            "headlines": [f"{style} under {noise}"],
            "loss": {"content_weight": 1.0, "style_weight": 4.0, "source": ""},
            "shares": [
                share("clean", "bn+asr", "supported"),
                share(f"{noise}, attacked", "bn+asr", answers[noise][index]),
                share(f"{noise}, attacked", "bn+frozen", "contradicted", share=0.125),
                share(f"{noise}, attacked", "bn+asr", "supported", metric="blur"),
                share(f"{noise}, attacked", "bn+asr", "supported", against="bn+frozen"),
            ],
        }
        for index, style in enumerate(("mosaic", "waves"))
        for noise in answers
    }


def test_lines_answer_by_the_share_under_each_noise() -> None:
    answers = {
        "constant": ["contradicted"] * 2, "random": ["supported", NONE], "batch": ["supported"] * 2,
    }  # fmt: skip
    blur = {
        "mosaic": Interval(0.05, 0.01, 0.09, "seeds"),
        "waves": Interval(0.05, -0.01, 0.11, "seeds"),
    }
    more, *lines = study.lines(summaries(answers), blur)
    assert more.answer == NONE
    assert more.found.endswith("mosaic +0.050 [0.010, 0.090], waves +0.050 [-0.010, 0.110]")
    found = {line.command.split()[4]: line for line in lines}
    assert {noise: line.answer for noise, line in found.items()} == {
        "constant": "contradicted", "random": NONE, "batch": "supported",
    }  # fmt: skip
    assert "mosaic: BN+ASR 50 % [25, 75], BN+frozen 12 % [25, 75]; waves:" in found["batch"].found


def test_the_page_begins_with_the_headlines_and_what_they_stand_for() -> None:
    text = study.overview(summaries({"batch": ["supported"] * 2}))
    assert "- mosaic, batch noise: mosaic under batch\n- waves, batch noise: waves" in text
    assert "1 · content + 4 · style" in text


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
