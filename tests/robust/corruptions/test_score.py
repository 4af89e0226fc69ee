"""Mean error and mCE by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.corruptions import KINDS
from robust.corruptions.score import (
    ALEXNET,
    alexnet,
    corruption_errors,
    mean_corruption_error,
    mean_error,
)

ROWS = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)
TABLE = st.fixed_dictionaries({"fog": ROWS, "snow": ROWS, "frost": ROWS})


def test_mce_of_two_kinds_by_hand():
    errors = {"fog": [0.1, 0.2, 0.3], "snow": [0.5, 0.5, 0.5]}
    twin = {"fog": [0.2, 0.4, 0.6], "snow": [0.5, 0.4, 0.1]}
    assert corruption_errors(errors, twin) == pytest.approx({"fog": 0.6 / 1.2, "snow": 1.5 / 1.0})
    assert mean_corruption_error(errors, twin) == pytest.approx((0.5 + 1.5) / 2)
    assert mean_error(errors) == pytest.approx((0.2 + 0.5) / 2)


@given(errors=TABLE)
def test_a_model_is_1_against_itself_whatever_its_errors(errors):
    assert mean_corruption_error(errors, errors) == pytest.approx(1)


@given(errors=TABLE, twin=TABLE, factor=st.floats(0.1, 0.9))
def test_fewer_errors_by_a_factor_are_an_mce_smaller_by_it(errors, twin, factor):
    fewer = {kind: [factor * error for error in row] for kind, row in errors.items()}
    expected = factor * mean_corruption_error(errors, twin)
    assert mean_corruption_error(fewer, twin) == pytest.approx(expected)


def test_alexnet_is_1_against_itself_and_its_mean_error_is_the_published_one():
    errors = {kind: [error] * 5 for kind, error in ALEXNET.items()}
    assert list(ALEXNET) == list(KINDS)
    assert mean_corruption_error(errors, alexnet(errors)) == pytest.approx(1)
    # Table 1 of the paper rounds AlexNet's errors to percents
    published = [89, 89, 92, 82, 83, 79, 80, 87, 83, 82, 56, 85, 65, 72, 61]
    assert [round(100 * error) for error in ALEXNET.values()] == published


def test_resnet_50s_published_figures_give_its_published_mce():
    # The paper's Table 1: corruption errors in percent and their mean, 76.7
    published = [80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77]
    errors = {
        kind: [ce / 100 * ALEXNET[kind]] * 5 for kind, ce in zip(ALEXNET, published, strict=True)
    }
    assert 100 * mean_corruption_error(errors, alexnet(errors)) == pytest.approx(76.7, abs=0.35)


@pytest.mark.parametrize(
    ("errors", "twin", "message"),
    [
        ({"fog": [0.1]}, {"snow": [0.1]}, r"errors of fog cannot be compared with errors of snow"),
        ({"fog": [0.1]}, {"fog": [0.1, 0.2]}, r"same kinds and severities"),
        ({"fog": [0.1]}, {"fog": [0.0]}, r"makes no error under fog"),
    ],
)
def test_what_cannot_be_compared_is_refused(errors, twin, message):
    with pytest.raises(InputError, match=message):
        mean_corruption_error(errors, twin)


@pytest.mark.parametrize("missing", ["a kind", "a severity"])
def test_alexnets_figures_are_for_all_kinds_and_severities(missing):
    errors = {kind: [0.5] * 5 for kind in KINDS}
    if missing == "a kind":
        del errors["fog"]
    else:
        errors["fog"] = [0.5] * 4
    with pytest.raises(InputError, match="all 15 corruptions at severities 1 to 5"):
        alexnet(errors)


def test_no_errors_have_no_mean():
    with pytest.raises(InputError, match="no errors"):
        mean_error({})
