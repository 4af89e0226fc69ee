"""What share of one network's advantage another brings back: a ratio of means, by Fieller.

The advantage of IN over BN is D = BN - IN, what a variant X brings back of it N = BN - X, paired
over training seeds and images. The share N / D is a ratio of two means, and its 95 % set is that of
Fieller (1954), Some problems in interval estimation: all r for which the mean of N - rD is not told
from 0. The squared half width of its interval is a quadratic in r
(:func:`robust.stats.intervals.half_squared_forms`), so the ends are roots of quadratics. The set is
bounded where D is told from 0; else it is unbounded (the outside of an interval), or everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr_core.errors import InputError
from robust.stats.answer import Answer
from robust.stats.intervals import Interval, half_squared_forms, mean_interval

COMPARABLE = 0.9
""""Comparable to IN" is read as: at least this share, so a margin of 10 % of IN's advantage."""

Pieces = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Share:
    """A share of an advantage.

    Attributes:
        share: N / D of the means; None where it is not defined.
        low: lower end of its 95 % set; None where it is not defined, or has no interval.
        high: upper end.
        advantage: D, with its interval, over what the set is over.
    """

    share: float | None
    low: float | None
    high: float | None
    advantage: Interval

    @property
    def percent(self) -> str:
        """Such as "4 % [-12, 20]", or "not defined"."""
        if self.share is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{_percent(self.share)} %"
        return f"{_percent(self.share)} % [{_percent(self.low)}, {_percent(self.high)}]"

    def above(self, threshold: float) -> Answer:
        """The answer to the claim that the share is above ``threshold``."""
        if self.low is None or self.high is None:
            return Answer.NOT_TESTED
        if self.low > threshold:
            return Answer.SUPPORTED
        return Answer.CONTRADICTED if self.high < threshold else Answer.INCONCLUSIVE


def share_of(part: ArrayLike, advantage: ArrayLike, *, level: float = 0.95) -> Share:
    """The share that ``part`` is of ``advantage``; defined where the latter is seen to be above 0.

    Args:
        part: N, (S, I), one row per training seed, one column per image.
        advantage: D, (S, I), paired with ``part``.
        level: the coverage of the share's set; whether it is defined goes by 95 %.

    Raises:
        InputError: the two differ in shape, or hold NaN or infinity.
    """
    n, d = np.asarray(part, dtype=np.float64), np.asarray(advantage, dtype=np.float64)
    if n.shape != d.shape:
        raise InputError(f"tables of shapes {n.shape} and {d.shape} cannot be paired")
    if not np.isfinite(n).all():
        raise InputError(f"{int((~np.isfinite(n)).sum())} of {n.size} values are NaN or infinite")
    whole = mean_interval(d)
    if d.size == 1:
        share = float(n.mean()) / whole.mean if whole.mean > 0 else None
        return Share(share, None, None, whole)
    if whole.low is None or whole.low <= 0:
        return Share(None, None, None, whole)
    pieces = fieller_set(n, d, level=level)
    return Share(float(n.mean()) / whole.mean, pieces[0][0], pieces[-1][1], whole)


def fieller_set(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], *, level: float = 0.95
) -> Pieces:
    """All r for which the interval of the mean of ``numerator - r * denominator`` holds 0.

    Args:
        numerator: (S, I), more than one value.
        denominator: (S, I).
        level: the coverage, between 0 and 1.

    Returns:
        Closed intervals in ascending order; ends may be infinite: one finite interval (bounded),
        two half-lines (unbounded), or everything.
    """
    n, d = numerator, denominator
    pieces: list[tuple[float, float]] = []
    if d.mean():  # the estimate is in it, whatever rounding does to a discriminant of 0
        pieces.append((float(n.mean() / d.mean()),) * 2)
    nn, nd, dd = (half_squared_forms(*pair, level=level) for pair in ((n, n), (n, d), (d, d)))
    for square, mixed, constant in zip(
        d.mean() ** 2 - dd, n.mean() * d.mean() - nd, n.mean() ** 2 - nn, strict=True
    ):
        pieces += _not_above_zero(float(square), -2 * float(mixed), float(constant))
    return _united(pieces)


def _not_above_zero(a: float, b: float, c: float) -> list[tuple[float, float]]:
    """Where a r² + b r + c is not above 0."""
    inf = math.inf
    if a == 0:
        if b == 0:
            return [(-inf, inf)] if c <= 0 else []
        return [(-inf, -c / b)] if b > 0 else [(-c / b, inf)]
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return [] if a > 0 else [(-inf, inf)]
    # the larger of -b ± √ does not cancel; the other root follows from c / a
    q = -0.5 * (b + math.copysign(math.sqrt(discriminant), b))
    low, high = sorted((q / a, c / q)) if q else (0.0, 0.0)
    return [(low, high)] if a > 0 else [(-inf, low), (high, inf)]


def _united(pieces: list[tuple[float, float]]) -> Pieces:
    united: list[tuple[float, float]] = []
    for low, high in sorted(pieces):
        if united and low <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], high)
        else:
            united.append((low, high))
    return tuple(united)


def _percent(share: float) -> str:
    return str(round(100 * share))
