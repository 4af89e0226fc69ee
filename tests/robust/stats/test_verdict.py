import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr_core.errors import InputError
from robust.stats.intervals import mean_interval
from robust.stats.verdict import verdict_by_gap, verdict_by_similarity

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
    v = verdict_by_gap("style loss", reference=around(0.1), a=around(0.15), b=around(0.2))
    assert v.answer == "closer"
    assert v.mean == pytest.approx(0.05)
    assert v.low > 0
    assert v.sentence.startswith("style loss: BN+ASR is closer to IN than BN by 0.050")


def test_farther_quotes_positive_numbers_in_order():
    v = verdict_by_similarity("SSIM to IN", a=around(0.40), b=around(0.45, 0.02))
    assert v.answer == "farther"
    assert v.high < 0
    mean, low, high = (float(n) for n in re.findall(r"-?\d+\.\d+", v.sentence))
    assert 0 < low < mean < high
    assert mean == pytest.approx(0.05)
    assert v.sentence.startswith("SSIM to IN: BN+ASR is farther from IN than BN by 0.0")


def test_a_gap_counts_on_either_side_of_the_reference():
    # b overshoots by 0.3 what a undershoots by 0.1: a is closer, although b is larger
    v = verdict_by_gap("blur", reference=around(0.4), a=around(0.3), b=around(0.7))
    assert v.answer == "closer"
    assert v.mean == pytest.approx(0.2)


def test_an_interval_over_zero_is_no_difference_seen():
    v = verdict_by_similarity("SSIM to IN", a=around(0.401, 0.05), b=around(0.4, -0.05))
    assert v.low < 0 < v.high
    assert v.answer == "no difference seen"
    assert v.sentence.startswith(
        "SSIM to IN: no difference seen between BN+ASR and BN in closeness to IN: 0.00"
    )


def test_equal_models_are_no_difference_seen():
    v = verdict_by_gap("blur", reference=around(0.1), a=around(0.2), b=around(0.2))
    assert (v.mean, v.low, v.high) == (0, 0, 0)
    assert v.answer == "no difference seen"
    assert v.sentence.endswith("0.0 [0.0, 0.0]")


def test_the_sentence_of_the_specification():
    # mean 0.031, interval 0.031 ± 0.019, from one factor with the t quantile of 2 degrees
    step = 0.019 / 4.302652729911275 * 3**0.5
    table = 0.031 + step * np.array([[-1.0], [0.0], [1.0]]).repeat(2, 1)
    v = verdict_by_similarity("style loss", a=table, b=0 * table)
    assert v.sentence == "style loss: BN+ASR is closer to IN than BN by 0.031 [0.012, 0.050]"


def test_one_seed_and_one_image_cannot_tell():
    v = verdict_by_gap("blur", reference=[[0.1]], a=[[0.11]], b=[[0.3]])
    assert v.answer == "cannot tell (one seed, one image)"
    assert v.low is v.high is None
    assert v.sentence == (
        "blur: cannot tell whether BN+ASR is closer to IN than BN from 0.19 on one seed "
        "and one image"
    )


def test_one_seed_says_that_it_speaks_for_images_only():
    v = verdict_by_similarity("SSIM", a=around(0.9)[:1], b=around(0.5)[:1, ::-1])
    assert v.answer == "closer"
    assert v.sentence.endswith("], images only (one seed)")


def test_the_names_are_the_callers():
    v = verdict_by_similarity(
        "SSIM", a=around(0.9), b=around(0.5), names=("clean", "bn+asr", "bn+const")
    )
    assert v.sentence.startswith("SSIM: bn+asr is closer to clean than bn+const by")


def test_an_interval_just_off_zero_does_not_read_as_zero():
    d = np.array([[1.0, 3.0, 2.0]])
    shift = mean_interval(d).low - 0.00013
    v = verdict_by_similarity("SSIM", a=d - shift, b=0 * d)
    assert v.answer == "closer"
    assert "[0.0001, " in v.sentence


@given(tables)
def test_numbers_are_those_of_the_interval_and_the_answer_follows_them(tables):
    reference, a, b = tables
    v = verdict_by_gap("m", reference=reference, a=a, b=b)
    closeness = np.abs(b - reference) - np.abs(a - reference)
    interval = mean_interval(closeness)
    assert (v.mean, v.low, v.high, v.over) == (
        interval.mean,
        interval.low,
        interval.high,
        interval.over,
    )
    if v.low is None:
        assert v.answer.startswith("cannot tell")
    else:
        expected = {(True, True): "closer", (False, False): "farther"}
        assert v.answer == expected.get((v.low > 0, v.high >= 0), "no difference seen")


@given(tables)
def test_swapping_a_and_b_swaps_the_answer(tables):
    reference, a, b = tables
    one = verdict_by_gap("m", reference=reference, a=a, b=b)
    other = verdict_by_gap("m", reference=reference, a=b, b=a)
    assert other.mean == -one.mean
    swapped = {"closer": "farther", "farther": "closer"}
    assert other.answer == swapped.get(one.answer, one.answer)


@given(tables)
def test_the_sentence_quotes_what_it_says(tables):
    reference, a, b = tables
    v = verdict_by_gap("m", reference=reference, a=a, b=b)
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?=[], ]|$)", v.sentence)]
    if v.low is not None:
        sign = -1 if v.answer == "farther" else 1
        expected = [sign * v.mean, *sorted((sign * v.low, sign * v.high))]
        tolerance = max(0.06 * (v.high - v.low), 0.006 * abs(v.mean), 1e-9)
        assert numbers[:3] == pytest.approx(expected, abs=tolerance)
        assert (v.answer == "no difference seen") == (numbers[1] <= 0 <= numbers[2])


def test_tables_that_do_not_pair_are_refused():
    with pytest.raises(InputError, match=r"blur: .*IN \(3, 4\), BN\+ASR \(3, 4\), BN \(3, 2\)"):
        verdict_by_gap("blur", reference=around(0), a=around(0), b=around(0)[:, :2])
    with pytest.raises(InputError, match=r"PSNR: BN holds NaN or infinity"):
        verdict_by_similarity("PSNR", a=around(0), b=around(np.inf, 0))
