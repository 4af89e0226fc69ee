import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr_core.errors import InputError
from robust.stats.intervals import mean_interval, p_value, standard_error

tables = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-1000, 1000).map(float))
)


def t_interval(values, level=0.95):
    """scipy's ordinary t interval."""
    return scipy.stats.ttest_1samp(values, 0).confidence_interval(level)


def simulated(rng, seeds, images, by_seed, by_image, rest):
    return (
        by_seed * rng.standard_normal((seeds, 1))
        + by_image * rng.standard_normal((1, images))
        + rest * rng.standard_normal((seeds, images))
    )


@pytest.mark.parametrize(("seeds", "images"), [(2, 2), (2, 20), (3, 3), (3, 10), (10, 10)])
@pytest.mark.parametrize(
    ("by_seed", "by_image", "rest"),
    [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0.3, 0.3), (0.3, 1, 0.3), (1, 1, 1), (0, 0, 1)],
)
def test_coverage(seeds, images, by_seed, by_image, rest):
    rng = np.random.default_rng(seeds * 100 + images)
    runs = 500
    intervals = [
        mean_interval(simulated(rng, seeds, images, by_seed, by_image, rest)) for _ in range(runs)
    ]
    coverage = sum(i.low <= 0 <= i.high for i in intervals) / runs
    assert coverage >= 0.925  # 2.5 standard errors below 0.95


def test_it_is_no_wider_than_it_need_be_where_there_is_enough_data():
    rng = np.random.default_rng(5)
    for effects in ((1, 1, 0), (1, 0.3, 0.3), (1, 1, 1)):
        intervals = [mean_interval(simulated(rng, 12, 12, *effects)) for _ in range(500)]
        assert sum(i.low <= 0 <= i.high for i in intervals) / 500 <= 0.98


def test_treating_all_values_as_independent_would_not_cover():
    rng = np.random.default_rng(0)
    naive = ours = 0
    for _ in range(300):
        d = simulated(rng, 3, 10, 1, 1, 0.3)
        low, high = t_interval(d.flatten())
        interval = mean_interval(d)
        naive += low <= 0 <= high
        ours += interval.low <= 0 <= interval.high
    assert naive / 300 < 0.75
    assert ours / 300 > 0.9


def test_a_table_by_hand():
    # row means 0.5, 3.5, column means 1, 3: mean squares 9, 4 and 1 on one degree of freedom each
    d = np.array([[0.0, 1.0], [2.0, 5.0]])
    assert np.allclose([d.mean(0), d.mean(1)], [[1, 3], [0.5, 3.5]])
    half = 12.706204736 * math.sqrt((9 + 4 - 1) / 4)
    interval = mean_interval(d)
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half))
    assert interval.over == "seeds and images"


def test_with_much_data_it_is_the_normal_interval_of_the_unbiased_variance():
    rng = np.random.default_rng(3)
    d = simulated(rng, 200, 300, 1, 1, 3)
    interval = mean_interval(d)
    # plug-in: Var = σ²_seed/S + σ²_image/I + σ²_rest/SI with the effects that were simulated
    expected = 1.96 * math.sqrt(1 / 200 + 1 / 300 + 9 / 60000)
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("factor", ["seed", "image"])
def test_with_one_factor_of_no_effect_it_is_the_t_interval_over_the_other(factor):
    effects = np.random.default_rng(1).standard_normal(6)
    d = np.tile(effects, (4, 1))
    interval = mean_interval(d if factor == "image" else d.T)
    assert (interval.low, interval.high) == pytest.approx(tuple(t_interval(effects)), rel=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(
    ("shape", "over"),
    [((1, 7), "images only (one seed)"), ((7, 1), "seeds only (one image)")],
)
def test_with_one_level_of_a_factor_it_is_the_t_interval_and_says_so(shape, over, level):
    values = np.random.default_rng(2).standard_normal(7)
    interval = mean_interval(values.reshape(shape), level=level)
    assert (interval.low, interval.high) == pytest.approx(tuple(t_interval(values, level)))
    assert interval.over == over


def test_one_value_has_no_interval():
    interval = mean_interval([[2.5]])
    assert interval.mean == 2.5
    assert interval.low is interval.high is None
    assert interval.over == "no interval (one seed, one image)"


def test_values_without_spread_have_an_interval_without_width():
    interval = mean_interval(np.full((3, 4), 0.5))
    assert (interval.low, interval.mean, interval.high) == (0.5, 0.5, 0.5)


def test_effects_that_cancel_out_do_not_make_it_certain():
    d = np.array([[1.0, -1.0], [-1.0, 1.0]])  # every row and column has mean 0
    interval = mean_interval(d)
    assert interval.high == -interval.low == pytest.approx(scipy.stats.t.ppf(0.975, 1))


@settings(deadline=None)
@given(tables)
def test_never_narrower_than_the_t_interval_over_one_factor(d):
    interval = mean_interval(d)
    for factor_means in (d.mean(0), d.mean(1)):
        if len(factor_means) > 1:
            error = factor_means.std(ddof=1) / math.sqrt(len(factor_means))
            half = scipy.stats.t.ppf(0.975, len(factor_means) - 1) * error
            assert (interval.high - interval.low) / 2 >= half * (1 - 1e-9) - 1e-9


@settings(deadline=None)
@given(tables, st.integers(-100, 100), st.integers(-20, 20).filter(bool))
def test_shift_and_scale(d, shift, scale):
    plain, moved = mean_interval(d), mean_interval(scale * d + shift)
    if d.size == 1:
        assert moved.mean == scale * plain.mean + shift
        return
    ends = sorted((scale * plain.low + shift, scale * plain.high + shift))
    assert [moved.low, moved.high] == pytest.approx(ends, rel=1e-6, abs=1e-6)


def assert_same_interval(a, b):
    assert a.mean == pytest.approx(b.mean)
    if a.low is None:
        assert b.low is None
    else:
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-6, abs=1e-6)


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_images_does_not_matter(d, random):
    rows, columns = list(range(d.shape[0])), list(range(d.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    assert_same_interval(mean_interval(d), mean_interval(d[rows][:, columns]))


@given(tables)
def test_swapping_the_factors_changes_the_words_alone(d):
    assert_same_interval(mean_interval(d), mean_interval(d.T))


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        (np.zeros(3), 0.95, r"shape \(3,\)\. Expected \(seeds, images\)"),
        (np.zeros((0, 3)), 0.95, r"shape \(0, 3\)"),
        ([[1.0, math.nan, math.inf]], 0.95, "2 of 3 values are NaN or infinite"),
        (np.zeros((2, 2)), 95, "level 95 is out of range"),
    ],
)
def test_refused(values, level, message):
    with pytest.raises(InputError, match=message):
        mean_interval(values, level=level)


@settings(max_examples=50)
@given(tables)
def test_the_p_value_is_where_the_interval_begins_to_leave_0_out(values):
    p = p_value(values)
    assert 0 <= p <= 1
    if values.size > 1 and 1e-9 < p < 0.999:
        assert mean_interval(values, level=1 - min(0.9999, p * 1.001)).leaves_zero_out
        assert not mean_interval(values, level=1 - p * 0.999).leaves_zero_out


@pytest.mark.parametrize("shape", [(5, 1), (1, 8)])
def test_over_one_factor_the_p_value_is_the_t_tests(shape):
    values = np.random.default_rng(3).standard_normal(shape) + 0.4
    assert p_value(values) == pytest.approx(scipy.stats.ttest_1samp(values.flat, 0).pvalue)
    assert standard_error(values) == pytest.approx(scipy.stats.sem(values.flat))


def test_the_standard_error_is_that_of_many_draws():
    rng = np.random.default_rng(2)
    drawn = [simulated(rng, 12, 15, 1, 0.7, 0.5) for _ in range(500)]
    spread = np.std([d.mean() for d in drawn])
    assert np.mean([standard_error(d) for d in drawn]) == pytest.approx(spread, rel=0.1)
