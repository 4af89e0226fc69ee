"""robust.norm_noise.choice: the severities of a run, and options that they would ignore."""

from typing import Any

import pytest

from asr_core.errors import InputError
from robust.norm_noise import ConstantNoise, check_used, choose_severities


def test_severities_come_from_text_or_from_the_noise_and_all_is_every_noise() -> None:
    assert choose_severities("constant", ["0.8,0.5", "0.8,0.5"]) == (ConstantNoise(0.8, 0.5),)
    assert choose_severities("constant", []) == (
        ConstantNoise(0.8, 0.8),
        ConstantNoise(0.8, 0.5),
        ConstantNoise(0.5, 0.5),
        ConstantNoise(0.5, 0.2),
    )
    assert {s.noise for s in choose_severities("all", [])} == {"batch", "constant", "random"}
    with pytest.raises(InputError, match=r"unknown noise 'bacth'.*all"):
        choose_severities("bacth", [])
    with pytest.raises(InputError, match="name the noise"):
        choose_severities("all", ["0.2"])


@pytest.mark.parametrize(
    ("noise", "texts", "options", "message"),
    [
        (
            "batch",
            [],
            {"granularity": "channel"},
            "granularity 'channel' is of random noise, not of batch",
        ),
        ("constant", [], {"granularity": "layer"}, "granularity 'layer' is of random noise"),
        ("constant", [], {"repeats": 3}, "3 repeats: nothing depends on chance in constant"),
        ("batch", ["1"], {"repeats": 2}, "2 repeats: nothing depends on chance in batch 1"),
        ("random", [], {"granularity": "pixel"}, "unknown granularity 'pixel'"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    noise: str, texts: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_used(choose_severities(noise, texts), **options)


def test_options_that_have_an_effect_are_taken() -> None:
    check_used(choose_severities("all", []), granularity="channel", repeats=3)
    check_used(choose_severities("batch", []), repeats=3)
    check_used(choose_severities("constant", []), repeats=1)
