"""The end of a run: evaluated on the test split, fused, checked, and written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from asr_core.asr.fuse import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.data import ImageSet, test_batches
from asr_core.errors import ParityError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_tensors
from asr_core.saving.files import write_json
from asr_core.saving.saved_model import save_model
from asr_core.training.config import TrainConfig
from asr_core.training.data_summary import DataFacts
from asr_core.training.evaluate import Evaluation, evaluate
from asr_core.training.folder import FUSED, MODEL, PARITY, RESULT, RunFolder
from asr_core.training.history import History, Row
from asr_core.training.model import stock_model
from asr_core.verify.divergence import require_agreement
from asr_core.verify.parity import ParityReport

if TYPE_CHECKING:
    from accelerate import Accelerator

EXAMPLES = 16
"""Images on which all outputs of the two models are compared, and not the classes alone."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        file: ``fused.safetensors`` or, without ASR, ``model.safetensors``.
        test: of the model in ``file``, after the last epoch.
        parity: how far the fused model's outputs are from the gated one's; None without ASR.
        gates: number of gated layers that were fused.
        rows: of ``metrics.csv``.
        best: the row of the epoch that was best on validation.
    """

    file: Path
    test: Evaluation
    parity: ParityReport | None
    gates: int
    rows: list[Row]
    best: Row


def finish(
    model: Normalized,
    config: TrainConfig,
    data: ImageSet,
    history: History,
    place: RunFolder,
    accelerator: Accelerator,
) -> Result:
    """Evaluate and write the model of the last epoch; called in every process.

    Nothing is written before the fused model is proved: outputs on test images as the gated
    model's, and the class of every test image the same.

    Raises:
        ParityError: it is not so, or the file does not hold the model.
        OSError: the disk is full.
    """
    batch_size = config.recipe.batch_size
    gates = sum(1 for _ in gated_layers(model))
    plain: nn.Module = fuse_asr(model) if gates else model
    test = evaluate(plain, data.test, batch_size=batch_size, accelerator=accelerator)
    parity = None
    if gates:
        gated = evaluate(model, data.test, batch_size=batch_size, accelerator=accelerator)
        _same_classes(gated, test)
        images = next(test_batches(data.test, batch_size=EXAMPLES))[0]
        parity = require_agreement(model, plain, [images])
    file = place.path / (FUSED if gates else MODEL)
    if accelerator.is_main_process:
        save_model(file, plain, stock_model(config, DataFacts.of(data)))
        _check_file(file, plain)
        if parity is not None:
            report = {**asdict(parity), "examples": len(images), "gates": gates}
            write_json(place.path / PARITY, {**report, "same_class": test.n, "test_images": test.n})
        write_json(
            place.path / RESULT,
            {
                "file": file.name,
                "epoch": history.epoch - 1,
                "test": {**test.figures(), "images": test.n},
                "images_per_second": test.images_per_second,
                "last": history.rows[-1],
                "best": history.best,
                "train_seconds": sum(row["seconds"] for row in history.timing),
                "gates": gates,
                "parameters": sum(p.numel() for p in plain.parameters()),
                "processes": accelerator.num_processes,
                "device": str(accelerator.device.type),
                "torch": torch.__version__,
            },
        )
    accelerator.wait_for_everyone()
    return Result(file, test, parity, gates, history.rows, history.best)


def _same_classes(gated: Evaluation, fused: Evaluation) -> None:
    differing = (gated.predictions != fused.predictions).nonzero().flatten().tolist()
    if differing:
        raise ParityError(
            f"the fused model gives {len(differing)} of {fused.n} test images another class, the "
            f"first being image {differing[0]}; nothing was written"
        )


def _check_file(file: Path, model: nn.Module) -> None:
    """What was written is read back: a disk's word is not taken for it."""
    own = model.model.state_dict() if isinstance(model, Normalized) else model.state_dict()
    read = load_tensors(file)
    if read.keys() != own.keys() or any(
        not torch.equal(read[name], value.cpu()) for name, value in own.items()
    ):
        raise ParityError(f"{file} does not hold the model that was written; write it again")
