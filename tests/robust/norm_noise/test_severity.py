import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.norm_noise import (
    NOISES,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    default_severities,
    parse_severity,
)

severities = st.one_of(
    st.builds(ConstantNoise, st.floats(0, 10) | st.integers(0, 10), st.floats(-10, 10)),
    st.builds(RandomNoise, st.none() | st.floats(0, 1) | st.integers(0, 1)),
    st.builds(BatchNoise, st.integers(1, 256)),
    st.builds(BatchNoise, st.integers(2, 256), st.just("noise")),
)


def test_published_pairs_are_the_constant_defaults():
    pairs = [(s.scale, s.shift) for s in default_severities("constant")]
    assert pairs == [(0.8, 0.8), (0.8, 0.5), (0.5, 0.5), (0.5, 0.2)]


def test_default_severities_of_the_others():
    assert [s.text for s in default_severities("random")] == ["0.1", "0.2", "0.5", "uniform"]
    assert [s.text for s in default_severities("batch")] == ["1", "2", "4", "16", "4:noise"]


def test_random_ranges_are_those_of_the_definition():
    assert RandomNoise(0.2).scale_range == pytest.approx((0.8, 1.2))
    assert RandomNoise(0.2).shift_range == pytest.approx((-0.2, 0.2))
    assert RandomNoise(None).scale_range == RandomNoise(None).shift_range == (0, 1)


def test_names_in_the_registry_are_those_of_the_severities():
    assert NOISES.names() == ["constant", "random", "batch"]
    for name in NOISES:
        assert {s.noise for s in default_severities(name)} == {name}


@given(severities)
def test_text_is_read_back(severity):
    assert parse_severity(severity.noise, severity.text) == severity


@given(severities, severities)
def test_equal_severities_have_equal_text_and_others_do_not(a, b):
    assert (a == b) == ((a.noise, a.text) == (b.noise, b.text))


def test_labels_of_the_defaults_are_short_and_tell_them_apart():
    for name in NOISES:
        labels = [s.label for s in default_severities(name)]
        assert len(set(labels)) == len(labels)
        assert all(len(label) <= 16 for label in labels)
    assert BatchNoise(4, "noise").label == "n = 4, noise"
    assert ConstantNoise(0.8, 0.5).label == "Na 0.8, Nb 0.5"


def test_only_what_disturbs_nothing_is_a_control():
    controls = [s.text for name in NOISES for s in default_severities(name) if s.is_control]
    assert controls == ["1"]
    assert "control" in BatchNoise(1).label
    assert ConstantNoise(1, 0).is_control
    assert not ConstantNoise(1, 0.1).is_control
    assert RandomNoise(0).is_control
    assert not RandomNoise(None).is_control


def test_severities_are_values():
    assert len({ConstantNoise(1, 0), ConstantNoise(1.0, -0.0)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        ConstantNoise(1, 0).scale = 2


@pytest.mark.parametrize(
    ("noise", "text", "message"),
    [
        ("constant", "0.8", r"'0\.8' is not a pair.*SCALE,SHIFT"),
        ("constant", "0.8,0.5,1", "not a pair"),
        ("constant", "0.8,big", "'big' is no number.*SCALE,SHIFT"),
        ("constant", "-1,0", r"-1,0 is out of range.*0 to 10"),
        ("constant", "nan,0", "nan,0 is out of range"),
        ("constant", "1,inf", "1,inf is out of range"),
        ("random", "1.5", r"1\.5 is out of range.*0 to 1"),
        ("random", "nan", "nan is out of range"),
        ("random", "much", "'much' is no number.*'uniform'"),
        ("batch", "0", "0 is out of range.*1 to 256"),
        ("batch", "257", "257 is out of range"),
        ("batch", "4.5", r"'4\.5' is no number"),
        ("batch", "4:", "unknown companions ''"),
        ("batch", "4:cats", "unknown companions 'cats'.*N:photos or N:noise"),
        ("batch", "1:noise", "batch of one has no companions"),
        ("noise", "1", "unknown noise 'noise'.*constant, random, batch"),
    ],
)
def test_refused(noise, text, message):
    with pytest.raises(InputError, match=message):
        parse_severity(noise, text)
