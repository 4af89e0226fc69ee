"""Are some networks more accurate than others on the same samples? Paired, with an interval.

The difference should hold for other samples and other training seeds. Samples are many, and are
resampled (a paired bootstrap: both networks keep the same samples). Seeds are few: resampling five
of them gives intervals that are too narrow (84 % coverage instead of 95 %), so at this outer level
each bootstrap draw adds one of Student's distribution over the seeds' mean differences. With one
seed the interval is the paired bootstrap's; where samples agree it is the t interval over seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from asr_core.errors import InputError
from robust.stats.answer import Answer, answer_to, in_words
from robust.stats.intervals import NO_INTERVAL, OVER_BOTH, Interval

DRAWS = 4000
_AT_ONCE = 2_000_000
"""Resampled values held at a time, so that memory does not grow with the number of samples."""


@dataclass(frozen=True)
class Comparison:
    """Whether A is more accurate than B.

    Attributes:
        difference: accuracy of A minus that of B, with its interval, in [-1, 1].
        seeds: number of training seeds that were paired.
        samples: number of samples.
        answer: to the claim that A is more accurate.
        sentence: the answer with its numbers in percentage points, for people.
    """

    difference: Interval
    seeds: int
    samples: int
    answer: Answer
    sentence: str


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The mean of ``values`` and its interval over seeds and samples.

    Args:
        values: (S, n), one row per training seed, one column per sample; average repeats first.
            Differences of two networks, for a paired interval.
        level: the coverage, between 0 and 1.
        draws: of the bootstrap.
        seed: of the draws: equal seeds give equal intervals.

    Raises:
        InputError: another shape, no values, NaN or infinity, or a level out of range.
    """
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 2 or d.size == 0:
        raise InputError(f"values have shape {d.shape}. Expected (seeds, samples)")
    if not np.isfinite(d).all():
        raise InputError(f"{int((~np.isfinite(d)).sum())} of {d.size} values are NaN or infinite")
    if not 0 < level < 1:
        raise InputError(f"level {level:g} is out of range. Expected between 0 and 1, as 0.95")
    seeds, samples = d.shape
    mean = float(d.mean())
    if d.size == 1:
        return Interval(mean, None, None, NO_INTERVAL)
    chance = np.random.default_rng(seed)
    means, squared = np.full(draws, mean), 0.0
    if samples > 1:
        means += _resampled(d.mean(0) - mean, draws, chance)
        squared += float(d.mean(0).var()) / samples
    if seeds > 1:
        error = float(d.mean(1).std(ddof=1)) / math.sqrt(seeds)
        means += error * chance.standard_t(seeds - 1, size=draws)
        squared += error**2
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    over = OVER_BOTH
    if 1 in d.shape:
        over = "images only (one seed)" if seeds == 1 else "seeds only (one image)"
    return Interval(mean, float(low), float(high), over, math.sqrt(squared))


def compare(
    a: ArrayLike, b: ArrayLike, *, names: tuple[str, str], margin: float | None = None
) -> Comparison:
    """Compare A and B on the same seeds and samples.

    Args:
        a: (S, n), how right A is about each sample, in [0, 1]: 1 and 0, or shares of repeats.
        b: (S, n), B, trained with the same seeds, on the same samples.
        names: of A and B, for the sentence.
        margin: accuracies nearer than this, in [0, 1], count as equivalent; None for no margin.

    Raises:
        InputError: other shapes, or values that are not in [0, 1].
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} has answers of shape {first.shape}, {names[1]} of {second.shape}: only "
            "the same seeds and samples can be paired"
        )
    for name, values in zip(names, (first, second), strict=True):
        if values.size and not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"{name} has answers outside [0, 1]")
    interval = bootstrap_interval(first - second)
    narrow = None if margin is None else bootstrap_interval(first - second, level=0.9)
    answer = answer_to(interval, narrow=narrow, margin=margin or 0)
    sentence = in_words(
        answer,
        interval,
        claim=f"{names[0]} is more accurate than {names[1]}",
        contrary=f"{names[0]} is less accurate than {names[1]}",
        decimals=2,
        scale=100,
        unit=" points",
    )
    return Comparison(interval, first.shape[0], first.shape[1], answer, sentence)


def _resampled(values: np.ndarray, draws: int, chance: np.random.Generator) -> np.ndarray:
    """Means of ``draws`` resamples of ``values`` (n,).

    How often each distinct value is drawn is multinomial: the same distribution as drawing samples
    one by one, at the cost of the few values that shares of right answers can take.
    """
    distinct, counts = np.unique(values, return_counts=True)
    step = max(1, _AT_ONCE // len(distinct))
    shares = counts / len(values)
    return np.concatenate(
        [
            chance.multinomial(len(values), shares, size=min(step, draws - start)) @ distinct
            for start in range(0, draws, step)
        ]
    ) / len(values)
