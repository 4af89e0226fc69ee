import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr_core.errors import InputError
from robust.stats.closeness import closeness_by_gap, closeness_by_similarity
from robust.stats.intervals import mean_interval

tables = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(
        *[arrays(np.float64, shape, elements=st.integers(-50, 50).map(float)) for _ in range(3)]
    )
)


def around(centre, width=0.01):
    """(3, 4) values about ``centre``, their mean."""
    steps = np.array([[-1, 0, 1, 0], [0, 1, 0, -1], [1, -1, -1, 1]])
    return centre + width * steps


def test_closer():
    v = closeness_by_gap("style loss", reference=around(0.1), a=around(0.15), b=around(0.2))
    assert v.answer == "supported"
    assert v.mean == pytest.approx(0.05)
    assert v.low > 0
    assert v.sentence.startswith("style loss: BN+ASR is closer to IN than BN by 0.050")


def test_farther_quotes_positive_numbers_in_order():
    v = closeness_by_similarity("SSIM to IN", a=around(0.40), b=around(0.45, 0.02))
    assert v.answer == "contradicted"
    assert v.high < 0
    mean, low, high = (float(n) for n in re.findall(r"-?\d+\.\d+", v.sentence))
    assert 0 < low < mean < high
    assert mean == pytest.approx(0.05)
    assert v.sentence.startswith("SSIM to IN: BN+ASR is farther from IN than BN by 0.0")


def test_a_gap_counts_on_either_side_of_the_reference():
    # b overshoots by 0.3 what a undershoots by 0.1: a is closer, although b is larger
    v = closeness_by_gap("blur", reference=around(0.4), a=around(0.3), b=around(0.7))
    assert v.answer == "supported"
    assert v.mean == pytest.approx(0.2)


def test_an_interval_over_zero_is_inconclusive():
    v = closeness_by_similarity("SSIM to IN", a=around(0.401, 0.05), b=around(0.4, -0.05))
    assert v.low < 0 < v.high
    assert v.answer == "inconclusive"
    assert v.sentence.startswith(
        "SSIM to IN: inconclusive whether BN+ASR is closer to IN than BN: 0.0"
    )
    assert f"visible from {(v.high - v.low) / 2:.3f}" in v.sentence


def test_equal_models_are_inconclusive():
    v = closeness_by_gap("blur", reference=around(0.1), a=around(0.2), b=around(0.2))
    assert (v.mean, v.low, v.high) == (0, 0, 0)
    assert v.answer == "inconclusive"
    assert "0.0 [0.0, 0.0]" in v.sentence


def test_the_sentence_of_the_specification():
    # mean 0.031, interval 0.031 ± 0.019, from one factor with the t quantile of 2 degrees
    step = 0.019 / 4.302652729911275 * 3**0.5
    table = 0.031 + step * np.array([[-1.0], [0.0], [1.0]]).repeat(2, 1)
    v = closeness_by_similarity("style loss", a=table, b=0 * table)
    assert v.sentence == "style loss: BN+ASR is closer to IN than BN by 0.031 [0.012, 0.050]"


def test_one_seed_and_one_image_test_nothing():
    v = closeness_by_gap("blur", reference=[[0.1]], a=[[0.11]], b=[[0.3]])
    assert v.answer == "not tested"
    assert v.low is v.high is None
    assert "0.19" in v.sentence


def test_one_seed_says_that_it_speaks_for_images_only():
    v = closeness_by_similarity("SSIM", a=around(0.9)[:1], b=around(0.5)[:1, ::-1])
    assert v.answer == "supported"
    assert v.sentence.endswith("], images only (one seed)")


def test_the_names_are_the_callers():
    v = closeness_by_similarity(
        "SSIM", a=around(0.9), b=around(0.5), names=("clean", "bn+asr", "bn+const")
    )
    assert v.sentence.startswith("SSIM: bn+asr is closer to clean than bn+const by")


def test_an_interval_just_off_zero_does_not_read_as_zero():
    d = np.array([[1.0, 3.0, 2.0]])
    shift = mean_interval(d).low - 0.00013
    v = closeness_by_similarity("SSIM", a=d - shift, b=0 * d)
    assert v.answer == "supported"
    assert "[0.0001, " in v.sentence


@given(tables)
def test_numbers_are_those_of_the_interval_and_the_answer_follows_them(tables):
    reference, a, b = tables
    v = closeness_by_gap("m", reference=reference, a=a, b=b)
    closeness = np.abs(b - reference) - np.abs(a - reference)
    interval = mean_interval(closeness)
    assert (v.mean, v.low, v.high, v.over) == (
        interval.mean,
        interval.low,
        interval.high,
        interval.over,
    )
    if v.low is None:
        assert v.answer == "not tested"
    else:
        expected = {(True, True): "supported", (False, False): "contradicted"}
        assert v.answer == expected.get((v.low > 0, v.high >= 0), "inconclusive")


@given(tables)
def test_swapping_a_and_b_swaps_the_answer(tables):
    reference, a, b = tables
    one = closeness_by_gap("m", reference=reference, a=a, b=b)
    other = closeness_by_gap("m", reference=reference, a=b, b=a)
    assert other.mean == -one.mean
    swapped = {"supported": "contradicted", "contradicted": "supported"}
    assert other.answer == swapped.get(one.answer, one.answer)


@given(tables)
def test_the_sentence_quotes_what_it_says(tables):
    reference, a, b = tables
    v = closeness_by_gap("m", reference=reference, a=a, b=b)
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?=[], ]|$)", v.sentence)]
    if v.low is not None:
        sign = -1 if v.answer == "contradicted" else 1
        expected = [sign * v.mean, *sorted((sign * v.low, sign * v.high))]
        tolerance = max(0.06 * (v.high - v.low), 0.006 * abs(v.mean), 1e-9)
        assert numbers[:3] == pytest.approx(expected, abs=tolerance)
        assert (v.answer == "inconclusive") == (numbers[1] <= 0 <= numbers[2])


def test_tables_that_do_not_pair_are_refused():
    with pytest.raises(InputError, match=r"blur: .*IN \(3, 4\), BN\+ASR \(3, 4\), BN \(3, 2\)"):
        closeness_by_gap("blur", reference=around(0), a=around(0), b=around(0)[:, :2])
    with pytest.raises(InputError, match=r"PSNR: BN holds NaN or infinity"):
        closeness_by_similarity("PSNR", a=around(0), b=around(np.inf, 0))
