"""95 % intervals for means over training seeds and images, both taken as samples.

Values come as a table, one row per training seed and one column per image, and the mean should hold
for other seeds and other images. In the two-way crossed random-effects model

    d[s, i] = μ + seed[s] + image[i] + rest[s, i]

the variance of the mean of S × I values is estimated without bias by V_seed + V_image - V_rest,
each V a mean square divided by S I (Searle, Casella, McCulloch 1992, Variance Components). With few
seeds V_seed has few degrees of freedom, and Satterthwaite's single t quantile covers too seldom
(88 % at two seeds and twenty images). So each part has the quantile of its own, as in Banerjee
(1960), Approximate confidence interval for linear functions of means of k populations:

    half² = t²_seed V_seed + t²_image V_image - t²_rest V_rest.

Treating all S I values as independent would give intervals far too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from asr_core.errors import InputError
from robust.stats.power import visible_from

NO_INTERVAL = "no interval (one seed, one image)"
OVER_BOTH = "seeds and images"


@dataclass(frozen=True)
class Interval:
    """A mean and the interval around it.

    Attributes:
        mean: over all values.
        low: lower end; None where there is no interval.
        high: upper end; None where there is no interval.
        over: what the interval generalises over, in words for the reader: "seeds and images",
            "images only (one seed)", "seeds only (one image)", or that there is none.
        error: the standard error of the mean; None where it is not known.
    """

    mean: float
    low: float | None
    high: float | None
    over: str
    error: float | None = None

    @property
    def half(self) -> float | None:
        """Half of its width; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def leaves_zero_out(self) -> bool:
        """Whether 0 is outside it; False where there is no interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def visible(self) -> float | None:
        """The smallest effect that such a 95 % interval sees with 80 % power.

        None where there is no interval, or no standard error.
        """
        if self.half is None or self.error is None:
            return None
        return visible_from(self.half, self.error)

    def plus_minus(self, decimals: int, *, scale: float = 1, sign: str = "") -> str:
        """The mean ± half of the width, both times ``scale``; ``sign="+"`` shows a plus."""
        text = f"{scale * self.mean:{sign}.{decimals}f}"
        return text if self.half is None else f"{text} ± {scale * self.half:.{decimals}f}"


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """The mean of ``values`` and its interval over seeds and images.

    Simulated coverage at 95 % is 94 % or more, from two seeds and two images on; with few of them
    it errs on the wide side. The interval is never narrower than the ordinary t interval over
    seeds, or over images; with one seed, or one image, it is the one over the other factor, and
    says so.

    Args:
        values: (S, I), one row per training seed, one column per image; average draws first.
        level: the coverage, between 0 and 1.

    Raises:
        InputError: another shape, no values, NaN or infinity, or a level out of range.
    """
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 2 or d.size == 0:
        raise InputError(f"values have shape {d.shape}. Expected (seeds, images), at least (1, 1)")
    if not np.isfinite(d).all():
        raise InputError(f"{int((~np.isfinite(d)).sum())} of {d.size} values are NaN or infinite")
    if not 0 < level < 1:
        raise InputError(f"level {level:g} is out of range. Expected between 0 and 1, as 0.95")
    mean = float(d.mean())
    if d.size == 1:
        return Interval(mean, None, None, NO_INTERVAL)
    half = _half(d, level)
    return Interval(mean, mean - half, mean + half, spread_over(d.shape), standard_error(d))


def wilson(share: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share of ``count`` (Wilson 1927), in [0, 1]."""
    z = float(ndtri((1 + level) / 2))
    middle = (share + z * z / count / 2) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + (z / count / 2) ** 2) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def standard_error(values: ArrayLike) -> float:
    """The standard error of the mean of ``values`` (S, I), of which there are several."""
    d = np.asarray(values, dtype=np.float64)
    if 1 in d.shape:
        return math.sqrt(_covariance(d, d) / d.size)
    seeds, images = d.shape
    seed, image, rest = _parts(d)
    of_seed, of_image = _covariance(seed, seed) / seeds, _covariance(image, image) / images
    of_rest = float((rest * rest).sum()) / ((seeds - 1) * (images - 1)) / d.size
    return math.sqrt(max(of_seed + of_image - of_rest, of_seed, of_image, of_rest))


def p_value(values: ArrayLike) -> float:
    """1 - the level of the widest interval of ``values`` (S, I) that leaves 0 out: two-sided.

    It agrees with :func:`mean_interval`: below 0.05 where the 95 % interval leaves 0 out. 1 where
    there is no interval.
    """
    d = np.asarray(values, dtype=np.float64)
    if d.size < 2 or not d.any():
        return 1.0
    mean, low, high = abs(float(d.mean())), 0.0, 1.0
    for _ in range(50):
        p = (low + high) / 2
        low, high = (low, p) if _half(d, 1 - p) < mean else (p, high)
    return high


def _half(d: NDArray[np.float64], level: float) -> float:
    return math.sqrt(float(half_squared_forms(d, d, level=level).max()))


def spread_over(shape: tuple[int, ...]) -> str:
    """What an interval from a table (S, I) generalises over, in words."""
    if 1 not in shape:
        return OVER_BOTH
    if shape == (1, 1):
        return NO_INTERVAL
    return "images only (one seed)" if shape[0] == 1 else "seeds only (one image)"


def half_squared_forms(
    a: NDArray[np.float64], b: NDArray[np.float64], *, level: float = 0.95
) -> NDArray[np.float64]:
    """The squared half width as bilinear forms: of ``d`` it is the largest of ``(d, d)``'s.

    That tells how the interval of N - rD changes with r, which ratios of means need
    (:mod:`robust.stats.share`).

    Args:
        a: (S, I), more than one value.
        b: (S, I).
        level: the coverage, between 0 and 1.

    Returns:
        (K,), the forms' values at ``(a, b)``.
    """
    seeds, images = a.shape
    if 1 in a.shape:
        return np.array([_t_squared(a.size - 1, level) * _covariance(a, b) / a.size])
    (a_seed, a_image, a_rest), (b_seed, b_image, b_rest) = map(_parts, (a, b))
    df_rest = (seeds - 1) * (images - 1)
    # each mean square over S I, times its squared quantile
    seed = _t_squared(seeds - 1, level) * _covariance(a_seed, b_seed) / seeds
    image = _t_squared(images - 1, level) * _covariance(a_image, b_image) / images
    rest = _t_squared(df_rest, level) * (a_rest * b_rest).sum() / df_rest / a.size
    # the difference can by chance be smaller than one part alone, which is never too large
    return np.array([seed + image - rest, seed, image, rest])


def _t_squared(df: int, level: float) -> float:
    return float(stdtrit(df, (1 + level) / 2)) ** 2


def _covariance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(((a - a.mean()) * (b - b.mean())).sum()) / (a.size - 1)


def _parts(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Means by seed (S, 1), means by image (1, I), and what both leave (S, I)."""
    by_seed, by_image = d.mean(1, keepdims=True), d.mean(0, keepdims=True)
    return by_seed, by_image, d - by_seed - by_image + d.mean()
