"""robust.training.classifier: a run from fields, to a run file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from asr_core.saving.files import write_json
from asr_core.training import TrainConfig
from robust.training.classifier import ClassifierRun
from robust.training.run_file import overridden, read_run_file

RUNS: list[dict[str, Any]] = [
    {},
    {"recipe": "resnet11-embedded", "mode": "plain", "epochs": 2, "seed": 7},
    {"recipe": "resnet11-embedded", "schedule": "cosine", "ema": 0.9, "psi": 0.5, "compile": True},
    {"optimizer": "adamw", "schedule": "multistep", "milestones": [1, 2.5], "gamma": 0.5},
    {"lr": 0.001, "epochs": 3, "data_folder": "d"},
    {"noise": "constant", "severity": "0.5,0.25", "record_attention": True},
    {"noise": "batch", "severity": 8, "mix": "noise"},
    {"noise": "random"},
]


@pytest.mark.parametrize("fields", RUNS)
def test_the_config_of_a_run_is_a_run_file(tmp_path: Path, fields: dict[str, Any]) -> None:
    run = ClassifierRun.from_fields(fields)
    write_json(tmp_path / "config.json", run.as_dict())
    assert ClassifierRun.from_fields(read_run_file(tmp_path)) == run
    begun = {**run.as_dict(), "data": {"name": "embedded", "sizes": [1, 2, 3]}}
    write_json(tmp_path / "config.json", begun)
    assert ClassifierRun.from_fields(read_run_file(tmp_path / "config.json")) == run


def test_fields_are_those_of_the_run_and_of_its_recipe() -> None:
    recipe = load_recipe("resnet11-embedded")
    config = ClassifierRun.from_fields(
        {"recipe": recipe.name, "epochs": 2, "lr": 0.5, "attention": "ie", "seed": 3}
    ).config
    assert config == TrainConfig(recipe=recipe.override(epochs=2, lr=0.5), attention="ie", seed=3)
    whole = TrainConfig.from_fields({"recipe": recipe.as_dict(), "lr": 0.5})
    assert whole.recipe == recipe.override(lr=0.5)
    assert (
        ClassifierRun.from_fields({"noise": "batch", "severity": 8}).config.recipe.batch_size == 8
    )


def test_what_overrides_a_noise_drops_its_severity() -> None:
    file = {"noise": "constant", "severity": "0.5,0.5", "lr": 1.0}
    assert overridden(file, {"lr": 2.0}) == {**file, "lr": 2.0}
    assert overridden(file, {"noise": "random"}) == {"noise": "random", "lr": 1.0}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attenton": "se"}, "'attenton'.*'attention'.*recipe, mode, .*noise"),
        ({"name": "mine"}, "'name'"),
        ({"recipe": "resnet12"}, "'resnet12'"),
        ({"recipe": {"lr": 0.1}}, "missing: name"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"delta": 0}, "delta is 0"),
        ({"noise": 3}, "noise is 3"),
        ({"severity": "0.5"}, "severity"),
        ({"noise": "batch", "severity": 4, "batch_size": 2}, "batch size 2"),
        ({"record_attention": "yes"}, "record_attention.*yes"),
    ],
)
def test_a_run_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassifierRun.from_fields(fields)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.toml", "[", "not TOML"),
        ("run.json", "[1]", "no fields"),
        ("run.json", '{"schema": 2}', "schema"),
        ("config.json", '{"schema": 1, "config": {}, "setting": {}}', "missing: .*recipe"),
        ("config.json", '{"schema": 1, "config": {"recipe": 1}, "setting": {"x": 1}}', "x|recipe"),
    ],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: .*{message}"):
        read_run_file(tmp_path / name)
