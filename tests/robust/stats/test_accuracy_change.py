"""The paired interval: coverage by simulation, and values by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.stats.accuracy_change import accuracy_change


def pair(both=0, lost=0, gained=0, neither=0):
    """Answers with these counts in the 2 × 2 table."""
    cells = ((True, True), (True, False), (False, True), (False, False))
    rows = [c for c, n in zip(cells, (both, lost, gained, neither), strict=True) for _ in range(n)]
    before, after = np.array(rows, dtype=bool).T
    return before, after


@pytest.mark.parametrize(
    ("n", "both", "lost", "gained"),
    [(200, 0.8, 0.02, 0.02), (1000, 0.75, 0.03, 0.01), (50, 0.6, 0.1, 0.1), (900, 0.8, 0.002, 0.0)],
)
def test_coverage(n, both, lost, gained):
    rng = np.random.default_rng(n)
    true = gained - lost
    covered = 0
    for counts in rng.multinomial(n, [both, lost, gained, 1 - both - lost - gained], size=1000):
        change = accuracy_change(*pair(*counts))
        covered += change.low <= true <= change.high
    assert covered / 1000 >= 0.935  # 2.2 standard errors below 0.95


def test_many_images_give_the_ordinary_interval():
    """Wald's for paired proportions, by hand: 30 of 10,000 lost, 10 gained."""
    change = accuracy_change(*pair(7000, 30, 10, 2960))
    half = 1.959964 * np.sqrt(40 - 20**2 / 10_000) / 10_000
    assert change.change == pytest.approx(-0.002)
    assert change.low == pytest.approx(-0.002 - half, abs=2e-5)
    assert change.high == pytest.approx(-0.002 + half, abs=2e-5)
    assert change.answer == "loses accuracy"
    assert change.sentence == (
        "loses accuracy: top-1 70.30% before, 70.10% after, change -0.20 points (95 % interval "
        "over images -0.33 to -0.07; 30 of 10000 images lost, 10 gained)"
    )


def test_no_change_on_few_images_excludes_little():
    """Wald's interval would be 0 to 0; the rule of three says up to 3 / 100."""
    change = accuracy_change(*pair(70, 0, 0, 30))
    assert change.answer == "no difference seen"
    assert -0.04 < change.low < -0.015
    assert change.high == -change.low
    assert change.sentence.endswith(
        f"a loss of up to {-100 * change.low:.2f} points is not excluded"
    )


def test_gains():
    change = accuracy_change(*pair(50, 2, 30, 20))
    assert change.answer == "gains accuracy"
    assert change.sentence.startswith("gains accuracy: top-1 50.98% before, 78.43% after")
    assert "not excluded" not in change.sentence


counts = st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any)


@settings(max_examples=60, deadline=None)
@given(counts, st.integers(0, 10**6))
def test_properties(cells, seed):
    before, after = pair(*cells)
    change = accuracy_change(before, after)
    assert -1 <= change.low <= change.change <= change.high <= 1
    assert change.low < change.high
    back = accuracy_change(after, before)
    assert (back.low, back.high) == pytest.approx((-change.high, -change.low))
    order = np.random.default_rng(seed).permutation(len(before))
    assert accuracy_change(before[order], after[order]) == change


def test_agreeing_answers_narrow_the_interval_more_than_unpaired_ones():
    """The same accuracies, 80 % and 78 %: which images are right makes the interval."""
    widths = [
        accuracy_change(*pair(800 - lost, lost, lost - 20, 220 - lost)) for lost in (20, 60, 150)
    ]
    assert len({(c.before, c.after) for c in widths}) == 1
    for narrow, wide in itertools.pairwise(widths):
        assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize(
    ("before", "after", "level", "words"),
    [
        ([True], [True, False], 0.95, r"shapes \(1,\) and \(2,\)"),
        ([], [], 0.95, r"shapes \(0,\)"),
        ([[True]], [[True]], 0.95, r"shapes \(1, 1\)"),
        ([1.0], [0.0], 0.95, "bool, got float64"),
        ([True], [True], 1.0, "level 1 is out of range"),
    ],
)
def test_answers_that_cannot_be_compared(before, after, level, words):
    with pytest.raises(InputError, match=words):
        accuracy_change(before, after, level=level)
