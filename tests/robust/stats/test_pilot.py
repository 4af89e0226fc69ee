"""Plans by hand, and that they see nothing of the contrast."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from asr_core.errors import InputError
from robust.stats.pilot import PilotRun, plans
from robust.stats.power import seeds_for, visible_with

A, B = (70.0, 71.0, 69.5, 72.0), (70.5, 71.8, 70.1, 72.6)


def runs(a: tuple[float, ...] = A, b: tuple[float, ...] = B, shift: float = 0.0) -> list[PilotRun]:
    found = [PilotRun("plain", seed, score, 1800.0) for seed, score in enumerate(a)]
    return found + [PilotRun("asr", seed, score + shift, 3600.0) for seed, score in enumerate(b)]


def test_plans_by_hand() -> None:
    paired, unpaired = plans(runs(), effect=0.5, planned=10)
    gaps = np.subtract(A, B)
    assert (paired.paired, paired.pilot) == (True, 4)
    assert paired.spread == pytest.approx(gaps.std(ddof=1))
    assert paired.seeds == seeds_for(0.5, paired.spread, paired=True)
    assert paired.hours == pytest.approx(paired.seeds * 1.5)
    assert paired.visible == pytest.approx(visible_with(10, paired.spread, paired=True))
    assert unpaired.spread == pytest.approx(math.hypot(np.std(A, ddof=1), np.std(B, ddof=1)))
    assert unpaired.seeds > paired.seeds, "these runs gain by pairs"


def test_which_is_better_is_not_seen() -> None:
    one, other = (plans(runs(shift=shift), effect=0.5, planned=7) for shift in (0.0, 64.0))
    for plain, shifted in zip(one, other, strict=True):
        assert replace(shifted, spread=plain.spread, visible=plain.visible) == plain
        assert (shifted.spread, shifted.visible) == pytest.approx((plain.spread, plain.visible))


def test_three_variants_are_three_pairs_and_seeds_may_differ() -> None:
    more = [*runs(), *(PilotRun("se", seed, 70 + seed / 3) for seed in (3, 4, 5))]
    found = plans(more, effect=1)
    assert [(plan.variants, plan.paired) for plan in found] == [
        (("plain", "asr"), True), (("plain", "asr"), False),
        (("plain", "se"), False), (("asr", "se"), False),
    ]  # fmt: skip
    assert found[-1].hours is None, "no run of SE says how long it took"
    assert found[0].visible is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "got none"),
        (runs()[:5], "got plain 4, asr 1"),
        ([*runs(), runs()[0]], "plain has seed 0 twice"),
        (runs(a=(1.0, math.nan)), "seed 1: the score is nan"),
    ],
)
def test_what_cannot_be_planned_with_is_named(given: list[PilotRun], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plans(given, effect=1)
