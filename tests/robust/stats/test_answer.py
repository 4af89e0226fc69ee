"""robust.stats.answer: every interval has one answer, and the words that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.stats.answer import (
    Answer,
    answer_to,
    answer_to_equality,
    holm,
    in_all,
    in_words,
    over_cases,
)
from robust.stats.intervals import Interval

YES, NO, OPEN, NONE = (
    Answer.SUPPORTED, Answer.CONTRADICTED, Answer.INCONCLUSIVE, Answer.NOT_TESTED,
)  # fmt: skip
ENDS = st.floats(-10, 10)


def interval(low: float | None, high: float | None) -> Interval:
    return Interval(0.0 if low is None or high is None else (low + high) / 2, low, high, "seeds")


@given(st.tuples(ENDS, ENDS).map(sorted), st.floats(0.1, 0.9), st.floats(0, 12))
def test_the_answer_is_where_the_interval_lies(
    ends: list[float], share: float, margin: float
) -> None:
    low, high = ends
    wide, narrow = interval(low, high), interval(share * low, share * high)
    answer = answer_to(wide, narrow=narrow, margin=margin)
    assert (answer is YES) == (low > 0)
    assert (answer is NO) == (high < 0)
    assert wide.leaves_zero_out == (low > 0 or high < 0)
    if not wide.leaves_zero_out:
        assert (answer is Answer.EQUIVALENT) == (share * max(-low, high) < margin)
    assert answer_to(wide) is (answer if wide.leaves_zero_out else OPEN)


@given(st.tuples(ENDS, ENDS).map(sorted), st.floats(0.1, 0.9), st.floats(0, 12), st.floats(0.1, 12))
def test_an_interval_below_the_published_effect_contradicts_it(
    ends: list[float], share: float, margin: float, published: float
) -> None:
    low, high = ends
    wide, narrow = interval(low, high), interval(share * low, share * high)
    without = answer_to(wide, narrow=narrow, margin=margin)
    answer = answer_to(wide, narrow=narrow, margin=margin, published=published)
    if without is OPEN:
        assert answer is (NO if high < published else OPEN)
    else:
        assert answer is without


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        ((-0.3, 0.5), (-0.2, 0.4), Answer.EQUIVALENT),
        ((0.1, 0.5), (0.2, 0.4), Answer.EQUIVALENT),
        ((0.5, 1.7), (0.7, 1.5), NO),
        ((-1.7, -0.5), (-1.5, -0.7), NO),
        ((-0.5, 1.7), (-0.2, 1.5), OPEN),
        ((None, None), (None, None), NONE),
    ],
)
def test_that_there_is_no_difference_needs_a_narrow_interval(
    wide: tuple[float, float], narrow: tuple[float, float], answer: Answer
) -> None:
    assert answer_to_equality(interval(*wide), narrow=interval(*narrow), margin=1) is answer


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_what_closed_testing_by_bonferroni_gives(p: list[float]) -> None:
    """Rejected is a claim if Bonferroni rejects every subset of claims that it is in."""
    adjusted = holm(p)
    for i, own in enumerate(p):
        greater = sorted((q for j, q in enumerate(p) if j != i), reverse=True)
        worst = own * len(p) if not greater else 0.0
        for size in range(len(greater) + 1):
            subset = [own, *greater[:size]]  # of each size, the subset that is hardest to reject
            worst = max(worst, min(1.0, len(subset) * min(subset)))
        assert adjusted[i] == pytest.approx(min(1.0, worst))


def test_holm_by_hand() -> None:
    assert holm([0.021, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])[0] == pytest.approx(0.147)
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])


def test_without_an_interval_nothing_is_tested() -> None:
    assert answer_to(interval(None, None), margin=1) is NONE


@pytest.mark.parametrize(
    ("answers", "every", "cases"),
    [
        ([], NONE, NONE),
        ([YES, YES], YES, YES),
        ([YES, NO], NO, OPEN),
        ([OPEN, NO], NO, OPEN),
        ([YES, OPEN], OPEN, OPEN),
        ([NO, NO], NO, NO),
        ([NONE, NONE], NONE, NONE),
        ([Answer.EQUIVALENT] * 2, Answer.EQUIVALENT, Answer.EQUIVALENT),
    ],
)
def test_several_answers_are_one(answers: list[Answer], every: Answer, cases: Answer) -> None:
    assert in_all(answers) is every
    assert over_cases(answers) is cases


def test_cases_may_be_plain() -> None:
    assert over_cases([True, True]) is YES
    assert over_cases([False]) is NO
    assert over_cases([True, False]) is OPEN


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "A leads by 2.00 points [1.00, 3.00]"),
        (-0.03, -0.01, "A trails by 2.00 points [1.00, 3.00]"),
        (-0.01, 0.03, "whether A leads: 1.00 points [-1.00, 3.00]; visible from 2.86 points"),
        (-0.0, 0.0, "whether A leads: 0.00 points [0.00, 0.00]; visible from 0.00 points"),
    ],
)
def test_numbers_are_turned_round_with_the_words(low: float, high: float, words: str) -> None:
    # an interval of the normal distribution, which sees 1.96 + 0.84 standard errors
    error = (high - low) / 2 / 1.959964
    difference = Interval((low + high) / 2, low, high, "seeds and images", error)
    told = in_words(
        answer_to(difference), difference, claim="A leads", contrary="A trails",
        decimals=2, scale=100, unit=" points",
    )  # fmt: skip
    assert told.endswith(words)
    assert "-0.00" not in told
