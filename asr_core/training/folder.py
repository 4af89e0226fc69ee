"""The folder of a run: what is in it, and whether a run may use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import check_tensors, load_torch, save_torch
from asr_core.saving.exclusive import contents
from asr_core.saving.schema import Name, Number, Text, parse, parse_fields, record
from asr_core.saving.text_files import check_plain, read_json
from asr_core.training.config import TrainConfig
from asr_core.training.data_summary import DataFacts
from asr_core.training.history import METRICS, TIMING, Row

SCHEMA = 1
CONFIG, RESULT, PARITY = "config.json", "result.json", "parity.json"
LAST, BEST = "last.pt", "best.pt"
FUSED, MODEL = "fused.safetensors", "model.safetensors"
ATTENTION = "attention.npz"
UNIMPORTANT = ("config.data_folder", "config.recipe.source", "config.recipe.notes")
"""What may differ when a run is gone on with: data is known by its figures, not by its place."""
OURS = (
    CONFIG, RESULT, PARITY, LAST, BEST, METRICS, TIMING,
    FUSED, "fused.json", MODEL, "model.json", ATTENTION,
)  # fmt: skip


@record
@dataclass(frozen=True)
class RunConfig:
    """What ``config.json`` says, and without the schema every state of the run."""

    config: TrainConfig
    data: DataFacts
    setting: dict[str, Any]
    schema: Literal[1] = 1


@record
@dataclass(frozen=True)
class OnTest:
    """Of the test split: mean loss, shares in [0, 1], and its number of images."""

    loss: Number
    top1: Annotated[Number, Field(ge=0, le=1)]
    top5: Annotated[Number, Field(ge=0, le=1)]
    images: Annotated[int, Field(ge=1)]


@record
@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What ``result.json`` says of a finished run.

    Attributes:
        file: of the plain model.
        epoch: the last one, from 0.
        test: of the model in ``file``.
        images_per_second: of that evaluation.
        last: the last row of ``metrics.csv``.
        best: the row of the epoch that was best on validation.
        train_seconds: of all epochs' steps.
        gates: number of gated layers that were fused.
        parameters: of the plain model.
        processes: that trained.
        device: "cpu", "cuda", …
        torch: its version.
    """

    file: Name
    epoch: Annotated[int, Field(ge=0)]
    test: OnTest
    images_per_second: Number
    last: Row
    best: Row
    train_seconds: Annotated[Number, Field(ge=0)]
    gates: Annotated[int, Field(ge=0)]
    parameters: Annotated[int, Field(ge=0)]
    processes: Annotated[int, Field(ge=1)]
    device: Text
    torch: Text


@record
@dataclass(frozen=True, kw_only=True)
class LastState:
    """What ``last.pt`` holds: tensors, and plain data whose own records check it."""

    identity: dict[str, Any]
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None
    average: dict[str, Tensor] | None
    averaged: Annotated[int, Field(ge=0)]
    history: dict[str, Any]


@record
@dataclass(frozen=True, kw_only=True)
class BestState:
    """What ``best.pt`` holds."""

    identity: dict[str, Any]
    model: dict[str, Tensor]
    epoch: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    ``config.json`` says all that is needed to run it again. ``last.pt`` holds the state of the run
    after its last saved step, ``best.pt`` the model of the epoch that was best on validation;
    ``metrics.csv`` and ``timing.csv`` have a row an epoch, as has ``attention.npz``, where gates
    are recorded. A finished run adds ``result.json``, and ``fused.safetensors`` with
    ``parity.json`` or, where there was no ASR to fold, ``model.safetensors``.
    """

    path: Path

    def check(self, *, overwrite: bool) -> None:
        """Refuse a folder that is in use by anything but an interrupted run; nothing is written.

        Raises:
            InputError: a file, or without ``overwrite`` a folder that holds a finished run or
                other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; a run needs a folder")
        if overwrite or not self.path.exists():
            return
        if (self.path / RESULT).exists():
            raise InputError(
                f"{self.path} holds a finished run; choose another folder, or overwrite it "
                "(--overwrite)"
            )
        if contents(self.path) and not is_run(self.path):
            raise InputError(
                f"{self.path} holds other files; choose another folder, or overwrite ours in it "
                "(--overwrite)"
            )

    def open(self, *, overwrite: bool) -> None:
        """Make the folder; what an earlier run left there goes with ``overwrite``, others stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in OURS if overwrite else ():
            (self.path / name).unlink(missing_ok=True)

    def save_state(self, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Replace ``last.pt``, atomically.

        Args:
            identity: what decides the run, as JSON-able data.
            state: tensors in plain containers.

        Raises:
            OSError: the disk is full; the last state is as it was.
        """
        save_torch(self.path / LAST, {**state, "identity": dict(identity)})

    def save_best(
        self, identity: Mapping[str, Any], model: Mapping[str, Tensor], epoch: int
    ) -> None:
        """Replace ``best.pt``, atomically, by a backbone's state dict after ``epoch``."""
        state = {"identity": dict(identity), "model": dict(model), "epoch": epoch}
        save_torch(self.path / BEST, state)

    def load_state(self, identity: Mapping[str, Any]) -> LastState | None:
        """The state of the run, or None where there is none yet.

        Raises:
            CheckpointError: damaged, or of a run with another identity; the fields that differ
                are named.
        """
        path = self.path / LAST
        if not path.exists():
            return None
        state = read_state(path)
        if not isinstance(state, LastState):
            raise CheckpointError(f"{path}: the state of a best epoch, which no run goes on from")
        differing = _differing(state.identity, identity)
        if differing:
            raise CheckpointError(
                f"{path}: the interrupted run differs in {'; '.join(differing)}. Give the same "
                "options, or choose another folder, or overwrite it (--overwrite)"
            )
        return state


def read_state(path: Path) -> LastState | BestState:
    """The state of a run: ``last.pt`` or ``best.pt``.

    Raises:
        CheckpointError: damaged, unsafe, of no run, or with tensors that no run has.
    """
    state = load_torch(path)
    if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
        raise CheckpointError(f"{path}: holds no run; remove it")
    kind: type[LastState | BestState] = BestState if "epoch" in state else LastState
    found = parse_fields(kind, state, where=str(path), error=CheckpointError)
    check_plain(found.identity, f"{path}: identity", error=CheckpointError)
    check_tensors(path, found.model)
    if isinstance(found, LastState) and found.average is not None:
        check_tensors(path, found.average)
    return found


def read_config(path: Path, whole: Any = None) -> RunConfig:
    """What a run's ``config.json`` says.

    Args:
        path: of the file, or of another that says the same.
        whole: its content, where that was read.

    Raises:
        CheckpointError: missing, damaged, or not the config of a run.
    """
    if whole is None:
        whole = read_json(path, error=CheckpointError)
    return parse(RunConfig, whole, where=str(path), error=CheckpointError)


def read_result(path: Path) -> RunResult:
    """What a run's ``result.json`` says.

    Raises:
        CheckpointError: missing, damaged, or not the result of a run.
    """
    whole = read_json(path, error=CheckpointError)
    return parse(RunResult, whole, where=str(path), error=CheckpointError)


def is_run(folder: Path) -> bool:
    """Whether ``folder`` holds the ``config.json`` of a run."""
    try:
        found = read_json(folder / CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() == {"schema", "config", "data", "setting"}


def _differing(saved: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> list[str]:
    """The fields that differ, each with both values; None where one side has none."""
    found = []
    for name in dict.fromkeys([*now, *saved]):
        old, new = saved.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differing(old, new, f"{inside}{name}.")
        elif old != new and inside + name not in UNIMPORTANT:
            found.append(f"{inside}{name} ({_short(old)}, now {_short(new)})")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
