"""Training a classifier: one loop, on one process or many, resumable at any step."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from asr_core.asr.fuse import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.data import ImageSet, steps_per_epoch, test_batches
from asr_core.errors import CheckpointError, InputError, ParityError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_tensors
from asr_core.saving.files import write_json
from asr_core.saving.saved_model import save_model
from asr_core.training.config import DataFacts, TrainConfig
from asr_core.training.evaluate import Evaluation, evaluate
from asr_core.training.folder import (
    CONFIG,
    FUSED,
    LAST,
    MODEL,
    PARITY,
    RESULT,
    SCHEMA,
    ClassifierFolder,
)
from asr_core.training.history import History, Row
from asr_core.training.learner import Learner
from asr_core.training.loop import EpochEnd, Loop, Step, StepNoise
from asr_core.training.model import made, stock_model
from asr_core.verify.divergence import require_agreement
from asr_core.verify.parity import ParityReport

if TYPE_CHECKING:
    from accelerate import Accelerator

SAVE_SECONDS = 60.0
EXAMPLES = 16
"""Number of test images on which the models' outputs are compared, not only the classes."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        file: ``fused.safetensors`` or, without ASR, ``model.safetensors``.
        test: evaluation of the model in ``file``, after the last epoch.
        parity: comparison of the fused model with the gated one; None without ASR.
        gates: number of fused gates.
        rows: the rows of ``metrics.csv``.
        best: the row of the epoch with the best validation accuracy.
    """

    file: Path
    test: Evaluation
    parity: ParityReport | None
    gates: int
    rows: list[Row]
    best: Row


def train(
    config: TrainConfig,
    data: ImageSet,
    folder: Path,
    *,
    accelerator: Accelerator,
    overwrite: bool = False,
    noise: StepNoise | None = None,
    setting: Mapping[str, Any] | None = None,
    save_seconds: float = SAVE_SECONDS,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[EpochEnd], None] | None = None,
) -> Result:
    """Train as ``config`` says, evaluate, fuse, check, and write a run folder.

    An interrupted run in ``folder`` resumes; on a CPU it ends with the same weights and the same
    ``metrics.csv``, bit for bit, as an uninterrupted one. Ctrl-C, SIGTERM and SIGHUP save at the
    end of the current step; a second one ends at once and leaves the last saved state. Meanwhile
    the folder is locked (:func:`asr_core.saving.exclusive.exclusive`).

    Of several processes, each takes its share of every batch, and only the main one writes; to
    resume, all must see the folder. Batch norms use the statistics of a process's share (if that is
    too small, convert the model to SyncBatchNorm); running ones are evaluated and saved from the
    main process. Otherwise the number of processes changes results only by rounding.

    Args:
        config: what to train, and how.
        data: the open data set that ``config.recipe.data`` names.
        folder: the run's folder (:class:`.folder.ClassifierFolder`).
        accelerator: made for ``config`` by :func:`asr_core.training.new_accelerator`.
        overwrite: start anew if the folder holds a run.
        noise: context for each forward pass (the train phase of an attack).
        setting: what else decides the run, as plain values by name, such as the noise.
        save_seconds: time between two writes of ``last.pt``; it is also written at the end of each
            epoch and on Ctrl-C.
        on_step: called after each step, in every process.
        on_epoch: called after each epoch's evaluation, in every process, so that it may evaluate
            too; only one of them should write. It must not change the weights. If the end of an
            epoch was not saved, the epoch and this call are repeated.

    Raises:
        InputError: data, config and accelerator do not match, the folder is in use, or the loss is
            no longer finite.
        CheckpointError: ``last.pt`` is damaged, or of a run with other options.
        ParityError: the fused model's outputs are not the gated one's.
        OSError: the disk is full; the last saved state is whole.
        Interrupted: a KeyboardInterrupt, saying how to continue.
    """
    place, facts = ClassifierFolder(folder, overwrite), DataFacts.of(data)
    _check(config, data, accelerator)
    learner = Learner(config, facts, accelerator)
    identity = _identity(config, facts, setting)
    with _claimed(place, learner, accelerator):
        history = _resume(place, identity, learner)
        if accelerator.is_main_process:
            write_json(folder / CONFIG, {"schema": SCHEMA, **identity})
            history.write(folder)
        loop = Loop(
            config=config,
            data=data.to(accelerator.device),
            learner=learner,
            history=history,
            accelerator=accelerator,
            place=place,
            identity=identity,
            noise=noise,
            save_seconds=save_seconds,
            on_step=on_step,
            on_epoch=on_epoch,
        )
        loop.run()
        return _finish(learner.evaluated, config, loop.data, history, place, accelerator)


@contextlib.contextmanager
def _claimed(place: ClassifierFolder, learner: Learner, accelerator: Accelerator) -> Iterator[None]:
    """Claim the folder in the main process; a refusal raises in every process."""
    with contextlib.ExitStack() as stack:
        problem: InputError | OSError | None = None
        try:
            place.check()
            if accelerator.is_main_process:
                stack.enter_context(place.claim())
        except (InputError, OSError) as error:
            problem = error
        # After this, all processes have checked, and writing may begin.
        if learner.anyone(problem is not None):
            raise problem or InputError(
                f"{place.path} cannot be used; the main process's error says why"
            )
        yield


def _check(config: TrainConfig, data: ImageSet, accelerator: Accelerator) -> None:
    if data.name != config.recipe.data:
        raise InputError(f"the recipe is for {config.recipe.data!r}, the data is {data.name!r}")
    steps_per_epoch(data.train, config.recipe.batch_size)  # refuses a batch above the set
    made_for = accelerator.mixed_precision, accelerator.gradient_accumulation_steps
    if made_for != (config.precision, config.accumulate):
        raise InputError(
            f"the accelerator was made for precision and accumulation {made_for}, the run wants "
            f"{(config.precision, config.accumulate)}; make it with new_accelerator"
        )


def _identity(
    config: TrainConfig, facts: DataFacts, setting: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All that is needed to run it again, in the types of JSON."""
    whole = {"config": config.as_dict(), "data": facts.as_dict(), "setting": dict(setting or {})}
    identity: dict[str, Any] = json.loads(json.dumps(whole))
    return identity


def _resume(place: ClassifierFolder, identity: Mapping[str, Any], learner: Learner) -> History:
    state = place.load_state(identity)
    if learner.anyone(state is not None) and state is None:
        raise CheckpointError(
            f"{place.path / LAST}: not found, but other processes have it; the folder must be "
            "visible to all of them"
        )
    if state is None:
        return History()
    history = History.from_dict(state.history)
    learner.load_state(state, str(place.path / LAST))
    return history


def _finish(
    model: Normalized,
    config: TrainConfig,
    data: ImageSet,
    history: History,
    place: ClassifierFolder,
    accelerator: Accelerator,
) -> Result:
    """Evaluate and write the model of the last epoch; called in every process.

    Nothing is written until the fused model agrees with the gated one: in the outputs on some test
    images, and in the class of every test image.

    Raises:
        ParityError: it does not, or the file does not hold the model.
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
        facts = DataFacts.of(data)
        how = made(config, facts).tested({**test.figures(), "images": test.n})
        if parity is not None:
            how = how.then(f"{gates} ASR gates fused; {parity.message}")
        save_model(file, plain, stock_model(config, facts), made=how)
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
    """Read the file back, since a write can fail silently."""
    own = model.model.state_dict() if isinstance(model, Normalized) else model.state_dict()
    read = load_tensors(file)
    if read.keys() != own.keys() or any(
        not torch.equal(read[name], value.cpu()) for name, value in own.items()
    ):
        raise ParityError(f"{file} does not hold the model that was written; write it again")
