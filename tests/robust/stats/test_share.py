"""robust.stats.share: Fieller's set, against closed forms, bisection and simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.stats.answer import Answer
from robust.stats.intervals import mean_interval
from robust.stats.share import fieller_set, share_of

shapes = st.sampled_from([(1, 6), (5, 1), (2, 2), (3, 4), (4, 15)])


def tables(shape, seed, *, part=0.4, advantage=1.0, spread=0.5):
    """N and D that scatter over seeds, over images, and otherwise, with something in common."""
    chance = np.random.default_rng(seed)

    def scatter():
        s, i = shape
        return spread * (
            chance.standard_normal((s, 1))
            + chance.standard_normal((1, i))
            + chance.standard_normal(shape)
        )

    common = scatter()
    return part + 0.5 * common + scatter(), advantage + 0.5 * common + scatter()


def holds_zero(n, d, r):
    interval = mean_interval(n - r * d)
    return interval.low <= 0 <= interval.high


def classical(n, d):
    """Fieller's ends for one sample of pairs, as textbooks write them; g < 1 makes it bounded."""
    count = n.size
    t2 = scipy.stats.t.ppf(0.975, count - 1) ** 2 / count
    (vnn, vnd), (_, vdd) = np.cov(n.ravel(), d.ravel())
    mn, md = n.mean(), d.mean()
    g = t2 * vdd / md**2
    middle = mn / md - g * vnd / vdd
    root = t2 * (vnn - 2 * mn / md * vnd + (mn / md) ** 2 * vdd - g * (vnn - vnd**2 / vdd))
    half = math.sqrt(root) / md if root >= 0 else math.nan
    return g, sorted(((middle - half) / (1 - g), (middle + half) / (1 - g)))


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_one_seed_or_one_image_is_the_classical_closed_form(shape):
    seen = set()
    for seed in range(60):
        n, d = tables(shape, seed, advantage=(0.1, 0.8, 3.0)[seed % 3])
        g, ends = classical(n, d)
        found = fieller_set(n, d)
        if g < 1:
            seen.add("bounded")
            assert found == (pytest.approx(tuple(ends)),)
        elif math.isnan(ends[0]):
            seen.add("everything")
            assert found == ((-math.inf, math.inf),)
        else:
            seen.add("unbounded")
            low, high = ends
            assert found == (
                (-math.inf, pytest.approx(low)),
                (pytest.approx(high), math.inf),
            )
    assert seen == {"bounded", "unbounded", "everything"}


@settings(deadline=None)
@given(shapes, st.integers(0, 10_000), st.sampled_from([0.3, 2.0, 4.0]), st.floats(-20, 20))
def test_membership_is_that_the_interval_of_the_combination_holds_0(shape, seed, advantage, r):
    n, d = tables(shape, seed, advantage=advantage)
    pieces = fieller_set(n, d)
    ends = [end for piece in pieces for end in piece]
    assume(all(abs(r - end) > 1e-6 for end in ends))
    assert any(low <= r <= high for low, high in pieces) == holds_zero(n, d, r)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (3, 15)])
def test_ends_are_where_bisection_finds_them(shape):
    n, d = tables(shape, 1, advantage=6.0)
    share = share_of(n, d)

    def end(direction):
        inside, outside = share.share, share.share + 100 * direction
        assert holds_zero(n, d, inside)
        assert not holds_zero(n, d, outside)
        for _ in range(80):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if holds_zero(n, d, middle) else (inside, middle)
        return inside

    assert (share.low, share.high) == pytest.approx((end(-1), end(1)), rel=1e-9)
    assert share.share == pytest.approx(n.mean() / d.mean())


def test_all_three_kinds_of_set_occur_over_seeds_and_images():
    kinds = set()
    for seed in range(60):
        part, advantage = [(0.0, 0.1), (2.0, 1.0)][seed % 2]
        n, d = tables((3, 5), seed, part=part, advantage=advantage, spread=0.3)
        pieces = fieller_set(n, d)
        kinds.add((len(pieces), math.isfinite(pieces[0][0])))
    assert kinds == {(1, True), (2, False), (1, False)}


@pytest.mark.parametrize("shape", [(2, 4), (3, 4), (3, 15)])
def test_coverage(shape):
    """The share is 0.4 for all seeds and images, those drawn and those not."""
    runs = 400
    held = 0
    for seed in range(runs):
        n, d = tables(shape, seed, part=0.4, advantage=1.0, spread=0.2)
        held += any(low <= 0.4 <= high for low, high in fieller_set(n, d))
    assert held / runs >= 0.925  # 2.3 standard errors below 0.95


@pytest.mark.parametrize("advantage", [0.1, -6.0])
def test_without_an_advantage_there_is_no_share(advantage):
    n, d = tables((3, 4), 2, advantage=advantage)
    assert (mean_interval(d).high < 0) == (advantage < 0)
    share = share_of(n, d)
    assert share.share is share.low is share.high is None
    assert share.percent == "not defined"
    assert share.above(0.9) is Answer.NOT_TESTED
    assert share.advantage == mean_interval(d)


def test_all_of_it_none_of_it_and_values_without_spread():
    _, d = tables((3, 4), 3, advantage=6.0)
    for factor in (1.0, 0.0, 0.25, -2.0):
        share = share_of(factor * d, d)
        assert (share.low, share.share, share.high) == pytest.approx((factor,) * 3, abs=1e-7)
    flat = share_of(np.full((2, 3), 0.5), np.full((2, 3), 2.0))
    assert (flat.low, flat.share, flat.high) == (0.25, 0.25, 0.25)
    assert flat.percent == "25 % [25, 25]"


def test_the_answer_is_by_the_whole_interval():
    n, d = tables((3, 4), 4, advantage=8.0)
    share = share_of(n, d)
    assert share.above(share.low - 0.01) is Answer.SUPPORTED
    assert share.above(share.high + 0.01) is Answer.CONTRADICTED
    assert share.above(share.share) is Answer.INCONCLUSIVE


@pytest.mark.parametrize(("advantage", "percent"), [(2.0, "25 %"), (-2.0, "not defined")])
def test_one_value_has_a_share_and_no_interval(advantage, percent):
    share = share_of([[0.5]], [[advantage]])
    assert share.percent == percent
    assert share.above(0.1) is Answer.NOT_TESTED


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(InputError, match=r"\(2, 3\).*\(3, 2\)"):
        share_of(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(InputError, match="1 of 2 values"):
        share_of([[math.nan, 1.0]], [[1.0, 1.0]])
