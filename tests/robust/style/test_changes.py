"""robust.style.changes: which variants hold follows from paired changes, whichever way."""

import io

import numpy as np
import pytest

from robust.stats.intervals import mean_interval
from robust.style.changes import changes_of, holds
from robust.style.results import CLEAN, Results, Row

SEEDS, IMAGES = 3, 4


def results(rises: dict[str, float], *, spread: float = 0.01, seeds: int = SEEDS) -> Results:
    """Losses of 1 that rise in batches of 2 and 8, not in that of 1, the control."""
    made, chance = Results(io.StringIO()), np.random.default_rng(0)
    images = IMAGES if seeds > 1 else 1
    common = chance.normal(scale=0.2, size=(seeds, images))
    for norm, rise in rises.items():
        for kind, severity in ((CLEAN, ""), ("batch", "1"), ("batch", "2"), ("batch", "8")):
            lost = rise if severity in ("2", "8") else 0.0
            for seed in range(seeds):
                for image in range(images):
                    value = 1 + lost + common[seed, image] + chance.normal(scale=spread)
                    key = ("style", norm, kind, severity, seed, f"i{image}", "loss", value)
                    made.add([Row(*key, "mosaic", "running")])
    return made


def test_a_change_is_of_paired_values_over_all_attacks_and_no_control() -> None:
    made = results({"bn": 0.5})
    cells = {(cell.noise, cell.severity): made.values(cell, "loss") for cell in made.cells()}
    clean, two, eight = (cells[key] for key in ((CLEAN, ""), ("batch", "2"), ("batch", "8")))
    assert clean is not None
    assert two is not None
    assert eight is not None
    expected = mean_interval((two + eight) / 2 - clean)
    found = {each["situation"]: each for each in changes_of(made)}
    assert set(found) == {"batch, n = 2", "batch, n = 8", "batch, attacked"}
    change = found["batch, attacked"]["change"]
    assert (change["mean"], change["low"], change["high"]) == (
        expected.mean, expected.low, expected.high,
    )  # fmt: skip
    assert expected.half is not None
    assert expected.half < 0.05 < mean_interval(clean).half  # type: ignore[operator]
    assert found["batch, attacked"]["visible"] == expected.visible


def said(rises: dict[str, float], **options: float) -> str:
    (sentence,) = holds(list(changes_of(results(rises, **options))))  # type: ignore[arg-type]
    return sentence


def test_who_holds_is_named_and_who_loses_with_how_much() -> None:
    sentence = said({"in": 0.0, "bn": 0.6, "bn+asr": 0.3})
    assert sentence.startswith("Under batch noise IN holds; BN+ASR's loss rises by ")
    assert "BN's by 6" in sentence or "BN's by 5" in sentence


def test_where_none_rises_all_hold_and_what_would_be_seen_is_said() -> None:
    sentence = said({"in": 0.0, "bn": -0.1})
    assert "every variant holds" in sentence
    assert "would have been seen" in sentence


def test_where_all_rise_the_best_comes_first() -> None:
    sentence = said({"in": 0.2, "bn": 0.6})
    assert sentence.startswith("Under batch noise IN holds best: its loss rises by ")
    assert "BN's by" in sentence


@pytest.mark.parametrize("rise", [0.0, 0.5])
def test_one_seed_and_one_picture_give_no_verdict(rise: float) -> None:
    assert "no interval" in said({"in": 0.0, "bn": rise}, seeds=1)
