"""What a comparison can see: power of the t test, by the noncentral t distribution.

The mean of n differences with standard deviation σ has the standard error σ / √n. If the true mean
is δ, then mean / error follows the noncentral t distribution with n - 1 degrees of freedom and
noncentrality δ √n / σ; the two-sided test at level α finds a difference where it is beyond the
(1 - α/2) quantile of t (Cohen 1988, Statistical Power Analysis, ch. 2). For two groups of n without
pairs the standard error is √(σ_a² + σ_b²) / √n, with 2n - 2 degrees of freedom.
"""

from __future__ import annotations

import math

from scipy.special import nctdtr, ndtri, stdtridf, stdtrit

from asr_core import limits
from asr_core.errors import InputError

POWER = 0.8
"""The customary power: four of five studies see an effect of the size that they can see."""
LEVEL = 0.95
_MANY = 1e5
"""Degrees of freedom from which on t is the normal distribution."""


def power(effect: float, *, error: float, df: float, level: float = LEVEL) -> float:
    """The probability that the interval leaves 0 out.

    Args:
        effect: the true mean.
        error: the standard error of the mean, above 0.
        df: degrees of freedom of the standard error.
        level: of the interval.
    """
    quantile, shift = float(stdtrit(df, (1 + level) / 2)), abs(effect) / error
    other_side = float(nctdtr(df, shift, -quantile))
    # nctdtr is NaN for some values that are 0 to rounding
    return 1 - float(nctdtr(df, shift, quantile)) + (0 if math.isnan(other_side) else other_side)


def smallest_visible(*, error: float, df: float, level: float = LEVEL) -> float:
    """The smallest effect whose interval leaves 0 out with :data:`POWER`.

    Args:
        error: the standard error of the mean.
        df: degrees of freedom of the standard error; may be infinite.
        level: of the interval.
    """
    if df > _MANY:
        return error * float(ndtri((1 + level) / 2) + ndtri(POWER))
    low, high = 0.0, 1.0
    while power(high, error=1, df=df, level=level) < POWER:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        enough = power(middle, error=1, df=df, level=level) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return error * high


def visible_from(half: float, error: float, *, level: float = LEVEL) -> float:
    """:func:`smallest_visible` of an interval that is not of one t distribution.

    Its degrees of freedom are those whose quantile is ``half / error``.

    Args:
        half: half of its width.
        error: the standard error of its mean.
        level: its coverage.
    """
    if not error:
        return half
    ratio, tail = half / error, (1 + level) / 2
    if ratio <= float(stdtrit(_MANY, tail)):
        return smallest_visible(error=error, df=math.inf, level=level)
    df = max(1.0, float(stdtridf(tail, ratio)))
    return smallest_visible(error=error, df=df, level=level)


def visible_with(seeds: int, spread: float, *, paired: bool, level: float = LEVEL) -> float:
    """The smallest visible effect of ``seeds`` seeds a variant.

    Args:
        seeds: at least 2.
        spread: σ: the standard deviation of the paired differences; or, without pairs, the root of
            the sum of both variances.
        paired: whether both variants share their seeds.
        level: of the interval.

    Raises:
        InputError: fewer than two seeds.
    """
    limits.whole("seeds", seeds, 2, limits.RUNS)
    df = seeds - 1 if paired else 2 * seeds - 2
    return smallest_visible(error=spread / math.sqrt(seeds), df=df, level=level)


def seeds_for(effect: float, spread: float, *, paired: bool, level: float = LEVEL) -> int:
    """The least number of seeds a variant that sees ``effect`` with :data:`POWER`.

    Args:
        effect: above 0, in the unit of ``spread``.
        spread: as in :func:`visible_with`.
        paired: as there.
        level: of the interval.

    Raises:
        InputError: the effect is not above 0, or takes more seeds than a study may have.
    """
    if not effect > 0:
        raise InputError(f"the effect is {effect:g}; expected a number above 0")
    low, high = 1, limits.RUNS
    if visible_with(high, spread, paired=paired, level=level) > effect:
        raise InputError(
            f"an effect of {effect:g} takes more than {limits.RUNS} seeds at a spread of "
            f"{spread:.3g}; choose a larger effect"
        )
    while high - low > 1:
        middle = (low + high) // 2
        seen = visible_with(middle, spread, paired=paired, level=level) <= effect
        low, high = (low, middle) if seen else (middle, high)
    return high
