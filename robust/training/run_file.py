"""Run files: the fields of a training run, as TOML or JSON.

A run file is a table of fields, named like the options of ``robust train`` with _ for -::

    recipe = "resnet11-embedded"     # a shipped recipe, or a table with the whole recipe
    epochs = 4                       # any field of the recipe overrides it
    attention = "ie"
    noise = "constant"
    severity = "0.5,0.5"

The ``config.json`` of a run's folder is such a file, too, and a folder stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.schema import Text, parse, record
from asr_core.saving.text_files import read_json, read_toml
from asr_core.training import TrainConfig
from asr_core.training.folder import CONFIG
from robust.norm_noise.training import TrainNoise, parse_train_noise

NOISE = ("noise", "severity", "mix")


@record
@dataclass(frozen=True, kw_only=True)
class _Setting:
    noise: dict[str, Text] | None = None
    record_attention: int | None = None


@record
@dataclass(frozen=True, kw_only=True)
class _Kept:
    """The ``config.json`` of a classifier's run; ``data`` is missing before the run begins."""

    schema: Literal[1]
    config: TrainConfig
    setting: _Setting
    data: dict[str, Any] = field(default_factory=dict)


@record
@dataclass(frozen=True, kw_only=True)
class _Noise:
    noise: Text | None = None
    severity: Text | int | float | None = None
    mix: Text | None = None


def read_run_file(path: Path | str) -> dict[str, Any]:
    """The fields that a run file says.

    Args:
        path: a file .toml or .json, or the folder of a run.

    Raises:
        InputError: missing, damaged, or no run file.
    """
    path = Path(path)
    path = path / CONFIG if path.is_dir() else path
    fields = read_toml(path) if path.suffix == ".toml" else read_json(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: not a run file: it holds no fields")
    if "config" in fields:
        kept = parse(_Kept, fields, where=str(path))
        recorded = kept.setting.record_attention is not None
        return {
            **kept.config.as_dict(),
            **(kept.setting.noise or {}),
            **({"record_attention": True} if recorded else {}),
        }
    if fields.pop("schema", 1) != 1:
        raise InputError(f"{path}: of another schema than 1")
    return fields


def overridden(fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` with those of ``given``; another noise comes without the severity of the first."""
    kept = {k: v for k, v in fields.items() if "noise" not in given or k not in NOISE}
    return {**kept, **given}


def check_fields(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse unknown fields.

    Raises:
        InputError: naming the first one, and listing the known ones.
    """
    for name in fields:
        if name not in known:
            raise unknown_name("field of a run", name, list(known))


def train_noise(fields: Mapping[str, Any]) -> TrainNoise:
    """The noise that the fields ``noise``, ``severity`` and ``mix`` say.

    Raises:
        InputError: an unknown noise, or a severity that it does not have.
    """
    said = parse(_Noise, {name: fields[name] for name in NOISE if name in fields})
    severity = None if said.severity is None else str(said.severity)
    return parse_train_noise(said.noise, severity, said.mix)
