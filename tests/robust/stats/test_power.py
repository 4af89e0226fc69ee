"""robust.stats.power: power by simulation and by numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from asr_core.errors import InputError
from robust.stats.compare import bootstrap_interval
from robust.stats.intervals import mean_interval
from robust.stats.power import power, seeds_for, smallest_visible, visible_from, visible_with


@pytest.mark.parametrize("df", [1, 2, 4, 39, 500])
@pytest.mark.parametrize("effect", [0.0, 0.5, 3.0, 8.0, 16.0])
def test_power_is_the_integral_over_the_standard_error(df: int, effect: float) -> None:
    quantile = stats.t.ppf(0.975, df)

    def inside(squared: float) -> float:
        own = quantile * math.sqrt(squared / df)
        between = stats.norm.cdf(own - effect) - stats.norm.cdf(-own - effect)
        return float(between * stats.chi2.pdf(squared, df))

    low, high = stats.chi2.ppf([1e-12, 1 - 1e-12], df)
    missed, _ = integrate.quad(inside, low, high, limit=300)
    assert power(effect, error=1, df=df) == pytest.approx(1 - missed, abs=1e-5)


def test_without_an_effect_one_in_twenty_is_seen() -> None:
    assert power(0, error=2, df=7) == pytest.approx(0.05)


@pytest.mark.parametrize("seeds", [3, 6, 40])
def test_the_smallest_visible_effect_is_seen_in_four_of_five_studies(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    effect = visible_with(seeds, 2.0, paired=True)
    studies = effect + 2.0 * rng.standard_normal((20_000, seeds))
    seen = (stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05).mean()
    assert seen == pytest.approx(0.8, abs=0.01)


def test_so_it_is_without_pairs() -> None:
    rng = np.random.default_rng(1)
    effect = visible_with(6, math.hypot(2.0, 2.0), paired=False)
    a, b = rng.standard_normal((2, 20_000, 6)) * 2.0
    seen = (stats.ttest_ind(a + effect, b, axis=1).pvalue < 0.05).mean()
    assert seen == pytest.approx(0.8, abs=0.01)


@settings(max_examples=40)
@given(st.floats(0.3, 5), st.floats(0.1, 5), st.booleans())
def test_seeds_for_an_effect_are_the_fewest_that_see_it(
    effect: float, spread: float, paired: bool
) -> None:
    seeds = seeds_for(effect, spread, paired=paired)
    assert visible_with(seeds, spread, paired=paired) <= effect
    assert seeds == 2 or visible_with(seeds - 1, spread, paired=paired) > effect


@pytest.mark.parametrize("effect", [0.0, -1.0, math.nan])
def test_an_effect_is_above_0(effect: float) -> None:
    with pytest.raises(InputError, match=r"0|-1|nan"):
        seeds_for(effect, 1.0, paired=True)


def test_what_takes_too_many_seeds_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.001 .* 10000"):
        seeds_for(0.001, 5.0, paired=True)
    with pytest.raises(InputError, match="1"):
        visible_with(1, 1.0, paired=True)


@pytest.mark.parametrize("seeds", [2, 5, 40])
def test_an_interval_over_seeds_sees_what_its_t_test_sees(seeds: int) -> None:
    values = np.random.default_rng(0).standard_normal((seeds, 1))
    interval = mean_interval(values)
    assert interval.visible == pytest.approx(visible_with(seeds, values.std(ddof=1), paired=True))


def test_many_values_are_normal() -> None:
    values = np.random.default_rng(0).standard_normal((1, 2_000))
    error = values.std(ddof=1) / math.sqrt(values.size)
    expected = error * (1.959964 + 0.841621)
    for interval in (mean_interval(values), bootstrap_interval(values)):
        assert interval.visible == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("interval_of", [mean_interval, bootstrap_interval])
def test_crossed_intervals_see_it_in_about_four_of_five_studies(interval_of: object) -> None:
    """Drawn from the model of the intervals, whose width differs from study to study."""
    rng = np.random.default_rng(0)

    def study(effect: float) -> np.ndarray:
        seed, image = rng.standard_normal((6, 1)), 2 * rng.standard_normal((1, 30))
        return effect + seed + image + 0.5 * rng.standard_normal((6, 30))

    visible = float(np.median([interval_of(study(0)).visible for _ in range(60)]))  # type: ignore[operator]
    found = [interval_of(study(visible)) for _ in range(250)]  # type: ignore[operator]
    assert np.mean([each.leaves_zero_out for each in found]) == pytest.approx(0.8, abs=0.1)


def test_nothing_is_seen_where_nothing_varies() -> None:
    assert visible_from(0.0, 0.0) == 0
    assert smallest_visible(error=0, df=3) == 0
