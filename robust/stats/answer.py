"""What an interval says of a claim, in the five words of all runs and studies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from robust.stats.intervals import OVER_BOTH, Interval


class Answer(StrEnum):
    """The answer to the claim that a difference is above 0."""

    SUPPORTED = "supported"
    """The 95 % interval is above 0."""
    CONTRADICTED = "contradicted"
    """The 95 % interval is below 0; or below the published effect, and not equivalent."""
    EQUIVALENT = "equivalent"
    """Neither above nor below 0, and the 90 % interval is inside the margin."""
    INCONCLUSIVE = "inconclusive"
    """None of these: the interval is too wide to tell."""
    NOT_TESTED = "not tested"
    """There is no interval."""


def answer_to(
    difference: Interval,
    *,
    narrow: Interval | None = None,
    margin: float = 0,
    published: float | None = None,
) -> Answer:
    """The answer that a difference gives.

    Args:
        difference: with its 95 % interval.
        narrow: the same with its 90 % interval, where there is a margin: two one-sided tests at
            5 % (Schuirmann 1987, A comparison of the two one-sided tests procedure).
        margin: differences below it do not matter.
        published: the effect that the claim's source reports, above 0; None if it gives none.
    """
    if difference.low is None or difference.high is None:
        return Answer.NOT_TESTED
    if difference.low > 0:
        return Answer.SUPPORTED
    if difference.high < 0:
        return Answer.CONTRADICTED
    if _inside(narrow, margin):
        return Answer.EQUIVALENT
    excluded = published is not None and difference.high < published
    return Answer.CONTRADICTED if excluded else Answer.INCONCLUSIVE


def answer_to_equality(difference: Interval, *, narrow: Interval, margin: float) -> Answer:
    """The answer to the claim that there is no difference: equivalent is what it says.

    Contradicted where the 95 % interval leaves out 0, the published effect, and the 90 % interval
    is not inside the margin.

    Args:
        difference: with its 95 % interval.
        narrow: the same with its 90 % interval.
        margin: differences below it do not matter.
    """
    if difference.low is None or difference.high is None:
        return Answer.NOT_TESTED
    if _inside(narrow, margin):
        return Answer.EQUIVALENT
    excluded = difference.low > 0 or difference.high < 0
    return Answer.CONTRADICTED if excluded else Answer.INCONCLUSIVE


def _inside(narrow: Interval | None, margin: float) -> bool:
    if narrow is None or narrow.low is None or narrow.high is None:
        return False
    return -margin < narrow.low and narrow.high < margin


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979, A simple sequentially rejective procedure).

    Below 0.05 where the family of all claims holds at 95 %.
    """
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, before = [1.0] * len(p), 0.0
    for rank, place in enumerate(order):
        before = max(before, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = before
    return adjusted


def in_all(answers: Iterable[Answer]) -> Answer:
    """Of a claim that must hold in every comparison, as that a value is the best of all."""
    each = set(answers)
    if Answer.CONTRADICTED in each:
        return Answer.CONTRADICTED
    return each.pop() if len(each) == 1 else Answer.INCONCLUSIVE if each else Answer.NOT_TESTED


def over_cases(answers: Iterable[Answer | bool]) -> Answer:
    """What all cases say; inconclusive where they differ, and not tested without any.

    Args:
        answers: of each case; a bool where the claim is about a number without an interval.
    """
    words = {True: Answer.SUPPORTED, False: Answer.CONTRADICTED}
    each = {words[a] if isinstance(a, bool) else a for a in answers}
    return each.pop() if len(each) == 1 else Answer.INCONCLUSIVE if each else Answer.NOT_TESTED


def in_words(
    answer: Answer,
    difference: Interval,
    *,
    claim: str,
    contrary: str,
    decimals: int,
    scale: float = 1,
    unit: str = "",
) -> str:
    """The answer with its numbers, for people; inconclusive ones say what would have been seen.

    What would have been seen is the smallest difference that has 80 % power
    (:attr:`robust.stats.intervals.Interval.visible`).

    Args:
        answer: by :func:`answer_to`.
        difference: with its 95 % interval.
        claim: as "A is closer to IN than B"; supported, "by 0.1 [0.0, 0.2]" follows.
        contrary: as "A is farther from IN than B"; numbers are then turned round.
        decimals: of all numbers.
        scale: numbers are shown times this.
        unit: after the mean, with its space.
    """
    if difference.half is None or difference.low is None or difference.high is None:
        number = f"{scale * difference.mean:.3g}{unit}"
        return f"{answer} whether {claim}: {number} on one seed and one image"
    sign = -scale if answer is Answer.CONTRADICTED else scale
    low, high = sorted((sign * difference.low, sign * difference.high))
    # adding 0.0 turns -0.0 into 0.0
    mean, low, high = (
        round(value, decimals) + 0.0 for value in (sign * difference.mean, low, high)
    )
    numbers = f"{mean:.{decimals}f}{unit} [{low:.{decimals}f}, {high:.{decimals}f}]"
    if difference.over != OVER_BOTH:
        numbers += f", {difference.over}"
    if answer is Answer.SUPPORTED:
        return f"{claim} by {numbers}"
    if answer is Answer.CONTRADICTED:
        return f"{contrary} by {numbers}"
    if answer is Answer.EQUIVALENT:
        return f"equivalent within the margin, not {claim}: {numbers}"
    return f"inconclusive whether {claim}: {numbers}{visible(difference, decimals, scale, unit)}"


def visible(difference: Interval, decimals: int, scale: float = 1, unit: str = "") -> str:
    """ "; visible from 2.1 points": the smallest effect seen with 80 % power; "" if unknown."""
    if difference.visible is None:
        return ""
    return f"; visible from {scale * difference.visible:.{decimals}f}{unit}"
