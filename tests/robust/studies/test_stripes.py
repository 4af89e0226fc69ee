"""The study of stripes: its verdicts by hand, and what it trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished import write_config

from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from asr_core.training import TrainConfig
from robust.stripes.measure import Convergence
from robust.studies import stripes as study
from robust.studies import stripes_page

OPTIONS = study.Setup()
SETTLED = Convergence(
    epochs=6,
    threshold=0.05,
    settled=4,
    layers={"a": 4, "b": 2},
    at_decay=0.5,
    before_decay=0.125,
    after_decay=0.01,
)


def found(**changes: Any) -> Any:
    whole = {
        "title": "net-SE", "scores": {"a": 0.05, "b": 0.2, "c": 2.0},
        "untrained": {"a": 0.5, "b": 0.25, "c": 0.75}, "convergence": SETTLED, "top1": 0.75,
        "by_epoch": [0.75, 0.1, 0.3], "dose": stripes_page.PAPER_DOSE,
    }  # fmt: skip
    return stripes_page.RunFigures(**{**whole, **changes})


def test_the_row_of_a_run() -> None:
    text = stripes_page.page({"base": found()}, cost=(0.02, 4.0))
    assert (
        "| net-SE | 75.0 | 0.2 (0.05 to 2) | 1 of 3 | 0.5 | 0.75, 0.1, 0.3 | epoch 4 | 50.0% | "
        "0.125 → 0.010 |"
    ) in text.splitlines()
    assert "took 20 ms of processor time, 0.50% of the 4 s by the clock" in text
    assert "Not run here" not in text


@pytest.mark.parametrize(
    ("other", "answer", "numbers"),
    [
        (
            [0.01, 0.09],
            "supported",
            "in 2 of 2 networks all layers are striped; of all 4 layers 4 score",
        ),
        (
            [0.2, 0.01],
            "inconclusive",
            "in 1 of 2 networks all layers are striped; of all 4 layers 3",
        ),
    ],
)
def test_stripes_seen_or_not(other: list[float], answer: str, numbers: str) -> None:
    runs = {
        name: found(scores={str(i): score for i, score in enumerate(scores)})
        for name, scores in (("base", [0.02, 0.03]), ("ie", other))
    }
    line = stripes_page.lines(runs)[0]
    assert (line.shows, line.answer) == ("Fig. 17–23", answer)
    assert line.found.startswith(numbers)
    text = stripes_page.page(runs, cost=None)
    assert f"- Fig. 17–23, {line.claim}: **{answer}**; {numbers}" in text
    none = stripes_page.lines({"base": found(scores={"a": 0.1})})[0]
    assert none.answer == "contradicted", "0.1 is no stripe"


@pytest.mark.parametrize(
    ("share", "answer", "numbers"),
    [
        (0.95, "supported", "in 1 of 1 networks at least 95% of gates stay put"),
        (0.949, "contradicted", "in 0 of 1 networks at least 95% of gates stay put "
                      "from it on, in the others 94.9%; what"),
    ],
)  # fmt: skip
def test_converged_at_the_first_decay_or_not(share: float, answer: str, numbers: str) -> None:
    each = found(convergence=replace(SETTLED, at_decay=share))
    line = stripes_page.lines({"base": each})[1]
    assert "converged at the first decay of the learning rate" in line.claim
    assert line.answer == answer
    assert line.found.startswith(numbers)


def test_short_trainings_decide_no_claim_about_long_ones() -> None:
    striped = {"scores": {"a": 0.01}, "convergence": replace(SETTLED, at_decay=1.0)}
    for share, answers in ((0.5, {"supported"}), (0.49, {"inconclusive"})):
        each = found(**striped, dose=share * stripes_page.PAPER_DOSE)
        lines = stripes_page.lines({"base": found(**striped, dose=0.0), "longer": each})
        assert {line.answer for line in lines} == answers
        assert ("0.0% to 49.0% of the paper's" in lines[0].found) == (share < 0.5)


def test_the_papers_dose() -> None:
    """Table 2 by hand: 390 steps an epoch, 81 epochs at 0.1, 41 at 0.01, 42 at 0.001."""
    by_hand = 390 * (81 * 0.1 + 41 * 0.01 + 42 * 0.001) * 1e-4
    assert pytest.approx(by_hand) == stripes_page.PAPER_DOSE


def test_spatial_attention_differs_from_image_to_image_or_not() -> None:
    cbam = found(scores={}, convergence=None, spatial={"a": 0.25, "b": 0.01})
    (line,) = stripes_page.lines({"cbam": cbam})
    assert (line.shows, line.answer) == ("Fig. 24", "inconclusive")
    assert line.found.endswith("block by block: 0.25, 0.01")


@pytest.mark.parametrize(
    ("shares", "answer"),
    [((0.5, 0.6, 0.6, 0.8), "supported"), ((0.5, 0.4, 0.6, 0.8), "inconclusive")],
)
def test_weight_decay_settles_sooner_or_not(shares: tuple[float, ...], answer: str) -> None:
    names = ("base", "decay-2e-4", "decay-3e-4", "decay-4e-4")
    runs = {
        name: found(convergence=replace(SETTLED, at_decay=share))
        for name, share in zip(names, shares, strict=True)
    }
    text = stripes_page.page(runs, cost=None, missing=["ie", "cbam"])
    listed = ", ".join(f"{share:.1%}" for share in shares)
    said = "settled at the first decay, from the least weight decay to the greatest"
    assert f"**{answer}**; {said}: {listed}; one seed each." in text
    assert "Not run here, though the command offers them: ie, cbam." in text


def test_runs_without_live_gates_have_no_row_but_their_picture() -> None:
    asr = found(
        title="net-ASR(SE)", scores={}, untrained={}, convergence=None,
        moved=0.0123, beside=0.25,
    )  # fmt: skip
    text = stripes_page.page({"base": found(), "asr": asr}, cost=None)
    assert "| net-ASR(SE)" not in text
    assert "- v of net-ASR(SE) moved by 0.012 (mean over channels)" in text
    assert "means over images, by 0.250." in text
    assert "![net-ASR(SE): scales](gallery/scales-asr-se.png)" in text
    assert "gallery/spatial-cbam.png" not in text


def test_the_set_is_that_of_the_appendix() -> None:
    runs = {name: study.training(variant, OPTIONS) for name, variant in study.VARIANTS.items()}
    assert len(set(runs.values())) == len(runs) == 11
    unrecorded = [name for name, run in runs.items() if not run.record_attention]
    assert unrecorded == ["cbam"], "whose spatial gates are no record's"
    assert runs["base"].config == TrainConfig(
        recipe=load_recipe("resnet11-embedded").override(
            epochs=6, schedule="multistep", milestones=(3, 5), gamma=0.1, weight_decay=1e-4
        ),
        mode="live", attention="se", precision="bf16", channels_last=True,
    )  # fmt: skip
    recipes = {name: run.config.recipe for name, run in runs.items()}
    assert recipes["cosine"].schedule == "cosine"
    assert recipes["deeper"].name == "resnet29-embedded"
    assert recipes["other-data"].name == "resnet11-embedded-quarters"
    assert (recipes["longer"].epochs, recipes["longer"].milestones) == (60, (30, 50))
    assert (recipes["cbam"].epochs, recipes["cbam"].schedule) == (1, "cosine")
    assert {recipe.weight_decay for recipe in recipes.values()} == {1e-4, 2e-4, 3e-4, 4e-4}


def test_a_run_of_other_options_is_refused(tmp_path: Path) -> None:
    config = study.training(study.VARIANTS["base"], OPTIONS).config
    write_config(tmp_path / "base", replace(config, recipe=config.recipe.override(epochs=4)))
    (tmp_path / "base" / "result.json").touch()
    with pytest.raises(InputError, match=r"epochs \(4, now 6\)"):
        study.study(tmp_path, tmp_path / "docs", only=["base"])
