"""Opening a run, under way or finished, to do something with its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr_core.errors import CheckpointError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_strictly
from asr_core.saving.saved_model import StockModel
from asr_core.training.config import TrainConfig
from asr_core.training.data_summary import DataFacts
from asr_core.training.folder import BEST, LAST, BestState, read_config, read_state
from asr_core.training.history import History
from asr_core.training.model import new_model, stock_model


@dataclass(frozen=True)
class OpenedRun:
    """A run's model with what is known of it.

    Attributes:
        model: gates and all, on images (N, 3, H, W) in [0, 1], in eval mode on the CPU.
        config: of the run.
        data: what it was trained on.
        stock: what the model is without its gates.
        epoch: whole epochs that the model has learned.
    """

    model: Normalized
    config: TrainConfig
    data: DataFacts
    stock: StockModel
    epoch: int


def open_run(path: Path | str, which: Literal["last", "best"] = "last") -> OpenedRun:
    """The model of a run: the average of the weights, where the run keeps one.

    Args:
        path: a run's folder, or the ``last.pt`` or ``best.pt`` in it.
        which: of a folder, the state of its last saved step or of the epoch that was best on
            validation.

    Raises:
        CheckpointError: nothing was saved yet, or the file is missing, damaged, unsafe, or not of
            a run.
    """
    path = Path(path)
    file = path / {"last": LAST, "best": BEST}[which] if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"{file}: no such state of a run; was one saved yet?")
    state = read_state(file)
    run = read_config(file, state.identity)
    if isinstance(state, BestState):
        backbone, epoch = state.model, state.epoch + 1
    else:
        backbone = state.model if state.average is None else state.average
        epoch = History.from_dict(state.history).epoch
    config, data = run.config, run.data
    model = new_model(config, data)
    load_strictly(model.model, backbone, f"{file}: not the tensors of its own run")
    return OpenedRun(model.eval(), config, data, stock_model(config, data), epoch)
