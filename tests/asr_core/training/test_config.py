"""asr_core.training.config: a run as data."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from asr_core.recipes import load_recipe, recipes
from asr_core.training import PRECISIONS, TrainConfig

RECIPE = load_recipe("resnet29-embedded")


@given(
    recipe=st.sampled_from(recipes()),
    mode=st.sampled_from(["asr", "both"]),
    attention=st.sampled_from(["se", "srm", "const"]),
    delta=st.integers(1, 4),
    psi=st.none() | st.floats(-2, 2),
    seed=st.integers(-(2**63) + 1, 2**63 - 1),
    folder=st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    precision=st.sampled_from(PRECISIONS),
    accumulate=st.integers(1, 9),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_a_config_survives_json(
    recipe: str, folder: str | None, flags: tuple[bool, bool, bool], **values: Any
) -> None:
    zero_gamma, channels_last, compiled = flags
    config = TrainConfig(
        recipe=load_recipe(recipe),
        data_folder=folder,
        zero_gamma=zero_gamma,
        channels_last=channels_last,
        compile=compiled,
        **values,
    )
    read = TrainConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert read == config
    assert config.as_dict().keys() == {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize(
    ("mode", "gated", "live"),
    [("plain", False, False), ("live", False, True), ("asr", True, False), ("both", True, True)],
)
def test_a_mode_says_which_attention_there_is(mode: str, gated: bool, live: bool) -> None:
    config = TrainConfig(recipe=RECIPE, mode=mode)
    assert (config.gated, config.live) == (gated, live)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "lively"}, r"unknown mode 'lively'\. Did you mean 'live'\? Known: plain, live"),
        ({"attention": "se2"}, r"unknown attention module 'se2'\. Did you mean 'se'\?"),
        ({"precision": "fp8"}, r"unknown precision 'fp8'.*Known: no, bf16, fp16"),
        ({"recipe": RECIPE.override(backbone="resnet28")}, "unknown backbone 'resnet28'"),
        ({"seed": 0.5}, r"seed is 0\.5"),
        ({"delta": 0}, "delta is 0; it must be"),
        ({"accumulate": True}, "accumulate is True; it must be"),
        ({"mode": "plain", "delta": 2}, "mode 'plain' has no ASR, and so no delta; choose mode"),
        ({"mode": "live", "psi": 0.1}, "mode 'live' has no ASR, and so no psi"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(**{"recipe": RECIPE, **changes})


def test_unknown_and_missing_fields_are_refused() -> None:
    data = TrainConfig(recipe=RECIPE).as_dict()
    with pytest.raises(InputError, match=r"unknown field 'sed'.*'seed'"):
        TrainConfig.from_dict({**data, "sed": 1})
    del data["mode"], data["seed"]
    with pytest.raises(InputError, match="missing: mode, seed"):
        TrainConfig.from_dict(data)
