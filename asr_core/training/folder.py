"""The folder of a classifier's run, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import check_tensors, load_strictly, save_torch
from asr_core.saving.model_facts import Made, StockModel
from asr_core.saving.run_folder import RunFolder, read_state, require_same
from asr_core.saving.schema import Name, Number, Text, parse, parse_fields, record
from asr_core.saving.text_files import read_json
from asr_core.training.config import DataFacts, TrainConfig
from asr_core.training.history import METRICS, TIMING, History, Row
from asr_core.training.model import made, new_model, stock_model

SCHEMA = 1
CONFIG, RESULT, PARITY = "config.json", "result.json", "parity.json"
LAST, BEST = "last.pt", "best.pt"
FUSED, MODEL = "fused.safetensors", "model.safetensors"
ATTENTION = "attention.npz"
UNIMPORTANT = ("config.data_folder", "config.recipe.source", "config.recipe.notes")
"""Fields of the identity that may differ when a run continues: the facts identify the data."""


@record
@dataclass(frozen=True)
class RunConfig:
    """The content of ``config.json`` and, without the schema, the identity in a run's states."""

    config: TrainConfig
    data: DataFacts
    setting: dict[str, Any]
    schema: Literal[1] = 1


@record
@dataclass(frozen=True)
class OnTest:
    """Results on the test split: mean loss, shares in [0, 1], and its number of images."""

    loss: Number
    top1: Annotated[Number, Field(ge=0, le=1)]
    top5: Annotated[Number, Field(ge=0, le=1)]
    images: Annotated[int, Field(ge=1)]


@record
@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The content of ``result.json``.

    Attributes:
        file: name of the plain model's file.
        epoch: the last epoch, from 0.
        test: results of the model in ``file``.
        images_per_second: speed of that evaluation.
        last: the last row of ``metrics.csv``.
        best: the row of the epoch with the best validation accuracy.
        train_seconds: time of all epochs' steps.
        gates: number of fused gates.
        parameters: number of parameters of the plain model.
        processes: number of training processes.
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
    """The content of ``last.pt``: tensors, and plain data that other records check."""

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
    """The content of ``best.pt``."""

    identity: dict[str, Any]
    model: dict[str, Tensor]
    epoch: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class ClassifierFolder(RunFolder):
    """The folder of a classifier's run.

    ``config.json`` says what is trained. ``last.pt`` holds the state after the last saved step,
    ``best.pt`` the model of the epoch with the best validation accuracy; ``metrics.csv``,
    ``timing.csv`` and, if gates are recorded, ``attention.npz`` have a row for each epoch. A
    finished run adds ``result.json``, and ``fused.safetensors`` with ``parity.json`` or, without
    ASR, ``model.safetensors``.
    """

    result = RESULT
    replaced = (
        CONFIG, RESULT, PARITY, LAST, BEST, METRICS, TIMING,
        FUSED, "fused.json", "fused.md", MODEL, "model.json", "model.md", ATTENTION,
    )  # fmt: skip

    @property
    def resumable(self) -> bool:
        """Whether the ``config.json`` is that of a run."""
        return is_run(self.path)

    def save_state(self, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Replace ``last.pt`` by ``state``, tensors in plain containers, atomically.

        Raises:
            OSError: the disk is full; the last state stays.
        """
        save_torch(self.path / LAST, {**state, "identity": dict(identity)})

    def save_best(
        self, identity: Mapping[str, Any], model: Mapping[str, Tensor], epoch: int
    ) -> None:
        """Replace ``best.pt``, atomically, by a backbone's state dict after ``epoch``."""
        state = {"identity": dict(identity), "model": dict(model), "epoch": epoch}
        save_torch(self.path / BEST, state)

    def load_state(self, identity: Mapping[str, Any]) -> LastState | None:
        """The state of the run, or None if there is none yet.

        Raises:
            CheckpointError: damaged, or of a run with another identity, naming the fields that
                differ.
        """
        path = self.path / LAST
        if not path.exists():
            return None
        state = load_run_state(path)
        if not isinstance(state, LastState):
            raise CheckpointError(f"{path}: the model of a best epoch; no run can continue from it")
        require_same(state.identity, identity, path, ignored=UNIMPORTANT)
        return state


def load_run_state(path: Path) -> LastState | BestState:
    """The state of a run: ``last.pt`` or ``best.pt``.

    Raises:
        CheckpointError: damaged, unsafe, not of a run, or with impossible tensors.
    """
    fields = read_state(path)
    kind: type[LastState | BestState] = BestState if "epoch" in fields else LastState
    state = parse_fields(kind, fields, where=str(path), error=CheckpointError)
    check_tensors(path, state.model)
    if isinstance(state, LastState) and state.average is not None:
        check_tensors(path, state.average)
    return state


def read_config(path: Path, whole: Any = None) -> RunConfig:
    """The content of a run's ``config.json``.

    Args:
        path: the file, or another with the same content.
        whole: the content, if it was read already.

    Raises:
        CheckpointError: missing, damaged, or not the config of a run.
    """
    if whole is None:
        whole = read_json(path, error=CheckpointError)
    return parse(RunConfig, whole, where=str(path), error=CheckpointError)


def read_result(path: Path) -> RunResult:
    """The content of a run's ``result.json``.

    Raises:
        CheckpointError: missing, damaged, or not the result of a run.
    """
    whole = read_json(path, error=CheckpointError)
    return parse(RunResult, whole, where=str(path), error=CheckpointError)


def is_run(folder: Path) -> bool:
    """Whether ``folder`` has the ``config.json`` of a run, which lacks "data" before it starts."""
    try:
        fields = read_json(folder / CONFIG)
    except (OSError, ValueError):
        return False
    names = {"schema", "config", "setting"}
    return isinstance(fields, dict) and names <= fields.keys() <= {*names, "data"}


@dataclass(frozen=True)
class OpenedRun:
    """A run's model and its facts.

    Attributes:
        model: with its gates, on images (N, 3, H, W) in [0, 1], in eval mode on the CPU.
        config: config of the run.
        data: facts of its data.
        stock: what the model is without its gates.
        epoch: number of finished epochs.
        made: how it was made.
    """

    model: Normalized
    config: TrainConfig
    data: DataFacts
    stock: StockModel
    epoch: int
    made: Made


def open_run(path: Path | str, which: Literal["last", "best"] = "last") -> OpenedRun:
    """The model of a run, with averaged weights if the run averages them.

    Args:
        path: a run's folder, or the ``last.pt`` or ``best.pt`` in it.
        which: in a folder, the state of the last saved step or of the epoch with the best
            validation accuracy.

    Raises:
        CheckpointError: nothing was saved yet, or the file is missing, damaged, unsafe, or not of
            a run.
    """
    path = Path(path)
    file = path / {"last": LAST, "best": BEST}[which] if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"{file}: no such state of a run; was one saved yet?")
    state = load_run_state(file)
    run = read_config(file, state.identity)
    if isinstance(state, BestState):
        backbone, epoch = state.model, state.epoch + 1
    else:
        backbone = state.model if state.average is None else state.average
        epoch = History.from_dict(state.history).epoch
    config, data = run.config, run.data
    model = new_model(config, data)
    load_strictly(model.model, backbone, f"{file}: not the tensors of its own run")
    how = made(config, data)
    if file.name == LAST and (result := file.parent / RESULT).is_file():
        how = how.tested(asdict(read_result(result).test))
    how = how.then(f"taken after epoch {epoch}")
    return OpenedRun(model.eval(), config, data, stock_model(config, data), epoch, how)
