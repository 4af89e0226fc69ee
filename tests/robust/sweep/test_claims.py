"""The answers to a sweep's claims: an intersection needs no correction, a union does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from robust.stats.answer import Answer
from robust.sweep.claims import answers
from robust.sweep.grid import Claim, Sweep

SEEDS = 4
OTHERS = (0.2, 0.3, 0.4, 0.5, 0.6)


def result(p: list[float], *, sign: int, note: str = "") -> Any:
    """Results in which 0.1 differs from each of the others with these p values."""
    sweep = Sweep(
        name="init", title="", axes={"psi": (0.1, *OTHERS[: len(p)])}, fields={}, seeds=SEEDS,
        labels={"psi": "ψ = {}"},
        claims=(Claim("0.1 is best", 0.1, OTHERS[: len(p)], note),),
    )  # fmt: skip
    steps = np.arange(SEEDS) - 1.5
    error = steps.std(ddof=1) / np.sqrt(SEEDS)
    ours = np.full(SEEDS, 70.0)
    columns = [ours - (steps + sign * error * stats.t.isf(own / 2, SEEDS - 1)) for own in p]
    figures = np.stack([ours, *columns])[None]
    return SimpleNamespace(sweep=sweep, figure=lambda name: figures)


@pytest.mark.parametrize(
    ("p", "sign", "answer"),
    [
        ([0.04] * 5, 1, Answer.SUPPORTED),  # each by its own interval: Bonferroni would refuse
        ([0.04, 0.04, 0.06], 1, Answer.INCONCLUSIVE),
        ([0.04] * 5, -1, Answer.INCONCLUSIVE),  # one of five is below 0 by chance more often
        ([0.009, 0.5, 0.5, 0.5, 0.5], -1, Answer.CONTRADICTED),
        ([0.04], -1, Answer.CONTRADICTED),
    ],
)
def test_better_than_all_and_worse_than_one(p: list[float], sign: int, answer: Answer) -> None:
    (given,) = answers(result(p, sign=sign))
    assert given.answer is answer
    for gap, own in zip(given.differences.values(), p, strict=True):
        assert gap.leaves_zero_out == (own < 0.05), "intervals are each at 95 %"


def test_an_open_answer_says_what_would_have_been_seen_and_what_else_differs() -> None:
    (given,) = answers(result([0.5], sign=1, note="also colder"))
    gap = given.differences[0.2]
    assert f"against ψ = 0.2, visible from {gap.visible:.2f} (" in given.sentence
    assert given.sentence.endswith(". also colder")
    (decided,) = answers(result([0.01], sign=1))
    assert "visible" not in decided.sentence
