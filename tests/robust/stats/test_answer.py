"""robust.stats.answer: every interval has one answer, and the words that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.stats.answer import Answer, answer_to, in_all, in_words, over_cases
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
    assert answer.leaves_zero_out == (low > 0 or high < 0)
    if not answer.leaves_zero_out:
        assert (answer is Answer.EQUIVALENT) == (share * max(-low, high) < margin)
    assert answer_to(wide) is (answer if answer.leaves_zero_out else OPEN)


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
        (-0.01, 0.03, "whether A leads: 1.00 points [-1.00, 3.00]; visible from 2.00 points"),
        (-0.0, 0.0, "whether A leads: 0.00 points [0.00, 0.00]; visible from 0.00 points"),
    ],
)
def test_numbers_are_turned_round_with_the_words(low: float, high: float, words: str) -> None:
    difference = Interval((low + high) / 2, low, high, "seeds and images")
    told = in_words(
        answer_to(difference), difference, claim="A leads", contrary="A trails",
        decimals=2, scale=100, unit=" points",
    )  # fmt: skip
    assert told.endswith(words)
    assert "-0.00" not in told
