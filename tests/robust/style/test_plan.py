"""robust.style.plan: options out of range are refused by name, and statistics are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_core.errors import InputError
from robust.norm_noise import BatchNoise, ConstantNoise, RandomNoise
from robust.style.plan import AttackPlan
from styletransfer.zoo import StyleCheckpoint

BN = StyleCheckpoint("mosaic", "bn", 0, Path("bn.safetensors"), "0")
IN = StyleCheckpoint("mosaic", "in", 0, Path("in.safetensors"), "0")


def plan(**changes: Any) -> AttackPlan:
    options: dict[str, Any] = {"networks": (IN, BN), "severities": (BatchNoise(4),), **changes}
    return AttackPlan(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": ()}, "at least one network"),
        ({"severities": ()}, "one severity"),
        ({"draws": 0}, "repeats is 0"),
        ({"size": 66}, "size is 66"),
        ({"size": 32}, "size is 32"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"granularity": "pixel"}, "granularity 'pixel'.*layer, channel, sample"),
        ({"statistics": "runing"}, "'runing'.*Did you mean 'running'"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(**changes)


def test_networks_of_two_styles_are_refused() -> None:
    other = StyleCheckpoint("waves", "bn", 0, Path("w.safetensors"), "0")
    with pytest.raises(InputError, match="mosaic, waves"):
        plan(networks=(BN, other))


def test_networks_of_two_stroke_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"0\.5, 1\.0"):
        plan(networks=(IN, replace(BN, stroke_size=0.5)))


def test_chance_takes_draws_and_certainty_one() -> None:
    chosen = plan(draws=3)
    assert chosen.draws_of(BatchNoise(4), "bn") == 3
    assert chosen.draws_of(BatchNoise(4), "in") == 1
    assert chosen.draws_of(BatchNoise(1), "bn") == 1
    assert chosen.draws_of(RandomNoise(0.2), "in") == 3
    assert chosen.draws_of(ConstantNoise(0.8, 0.5), "bn") == 1


def test_progress_counts_every_output() -> None:
    severities = (BatchNoise(1), BatchNoise(4), ConstantNoise(0.8, 0.5))
    # IN: clean, n = 1, n = 4, constant; BN: clean, n = 1, three draws of n = 4, constant.
    assert plan(severities=severities, draws=3).outputs_per_image == 4 + 6


def test_statistics_are_named_as_tables_show_them() -> None:
    assert plan().statistics_name(None, "in") == "instance"
    assert plan().statistics_name(None, "bn") == "running"
    assert plan().statistics_name(BatchNoise(16), "bn+asr") == "batch (n = 16)"
    batch = plan(statistics="batch", batch_size=8)
    assert batch.statistics_name(ConstantNoise(0.8, 0.5), "bn") == "batch (n = 8)"
    again = plan(statistics="re-estimated")
    assert again.statistics_name(RandomNoise(0.2), "bn") == "re-estimated"
