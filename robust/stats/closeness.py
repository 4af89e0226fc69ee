"""Is A closer to the reference than B?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_core.errors import InputError
from robust.stats.answer import Answer, answer_to, in_words
from robust.stats.intervals import Interval, mean_interval


@dataclass(frozen=True)
class Closeness:
    """Whether A is closer to the reference than B, by one metric.

    Attributes:
        metric: its title.
        mean: how much closer A is (negative: farther), in the metric's unit.
        low: lower end of the 95 % interval; None where there is none.
        high: upper end; None where there is none.
        answer: to the claim that A is closer.
        sentence: the answer with its numbers, for people.
        over: what the interval generalises over, as in :class:`robust.stats.intervals.Interval`.
    """

    metric: str
    mean: float
    low: float | None
    high: float | None
    answer: Answer
    sentence: str
    over: str


def closeness_by_gap(
    metric: str,
    *,
    reference: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    names: tuple[str, str, str] = ("IN", "BN+ASR", "BN"),
) -> Closeness:
    """Compare the gaps |b - reference| and |a - reference| of a metric that images have themselves.

    Args:
        metric: its title, which begins the sentence ("style loss").
        reference: (S, I), the metric of the reference, one row per training seed, one column per
            image: paired with ``a`` and ``b``.
        a: (S, I).
        b: (S, I).
        names: of reference, A and B, for the sentence.

    Raises:
        InputError: the three differ in shape, or hold NaN or infinity.
    """
    m_reference, m_a, m_b = _paired(metric, {names[0]: reference, names[1]: a, names[2]: b})
    return _closeness(metric, np.abs(m_b - m_reference) - np.abs(m_a - m_reference), names)


def closeness_by_similarity(
    metric: str,
    *,
    a: ArrayLike,
    b: ArrayLike,
    names: tuple[str, str, str] = ("IN", "BN+ASR", "BN"),
) -> Closeness:
    """Compare a metric that is itself a similarity to the reference, higher being closer (SSIM).

    Args:
        metric: its title, which begins the sentence ("SSIM to IN").
        a: (S, I), A's similarity, one row per training seed, one column per image.
        b: (S, I).
        names: of reference, A and B, for the sentence.

    Raises:
        InputError: the two differ in shape, or hold NaN or infinity.
    """
    m_a, m_b = _paired(metric, {names[1]: a, names[2]: b})
    return _closeness(metric, m_a - m_b, names)


def _paired(metric: str, tables: dict[str, ArrayLike]) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(table, dtype=np.float64) for table in tables.values()]
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(
            f"{name} {array.shape}" for name, array in zip(tables, arrays, strict=True)
        )
        raise InputError(f"{metric}: tables differ in shape ({shapes}) and cannot be paired")
    for name, array in zip(tables, arrays, strict=True):
        if not np.isfinite(array).all():
            raise InputError(f"{metric}: {name} holds NaN or infinity")
    return arrays


def _closeness(
    metric: str, closeness: NDArray[np.float64], names: tuple[str, str, str]
) -> Closeness:
    interval = mean_interval(closeness)
    reference, a, b = names
    answer = answer_to(interval)
    words = in_words(
        answer,
        interval,
        claim=f"{a} is closer to {reference} than {b}",
        contrary=f"{a} is farther from {reference} than {b}",
        decimals=_decimals(interval),
    )
    return Closeness(
        metric, interval.mean, interval.low, interval.high, answer, f"{metric}: {words}",
        interval.over,
    )  # fmt: skip


def _decimals(interval: Interval) -> int:
    """Decimals for two figures of the half width, and one of an end that is nearly zero.

    An interval just off zero must not read as one that touches it.
    """
    if interval.half is None or interval.low is None or interval.high is None:
        return 3
    half, low, high = interval.half, interval.low, interval.high
    largest = max(abs(low), abs(high))
    if largest == 0:
        return 1
    steps = [half / 10 if half > 1e-9 * largest else largest / 100]
    if low * high > 0:
        steps.append(min(abs(low), abs(high)))
    return min(max(-math.floor(math.log10(min(steps))), 0), 12)
