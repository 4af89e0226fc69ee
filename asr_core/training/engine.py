"""Training a classifier: one loop, on one process or many, resumable at any step."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_core.data import ImageSet, steps_per_epoch
from asr_core.errors import CheckpointError, InputError
from asr_core.saving.exclusive import exclusive
from asr_core.saving.files import write_json
from asr_core.training.config import TrainConfig
from asr_core.training.data_summary import DataFacts
from asr_core.training.finish import Result, finish
from asr_core.training.folder import CONFIG, LAST, SCHEMA, RunFolder
from asr_core.training.history import History
from asr_core.training.learner import Learner
from asr_core.training.loop import EpochEnd, Loop, Step, StepNoise

if TYPE_CHECKING:
    from accelerate import Accelerator

SAVE_SECONDS = 60.0


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
    """Train as ``config`` says, evaluate, fuse, check and write a :class:`.folder.RunFolder`.

    A run that was interrupted in ``folder`` is gone on with; on a CPU it ends with the same
    weights and the same ``metrics.csv``, bit for bit, as one that never was. Ctrl-C, SIGTERM and
    SIGHUP save at the end of the step under way; a second one ends at once, leaving what was saved
    last. The folder is held meanwhile (:func:`asr_core.saving.exclusive.exclusive`).

    Among several processes each takes its share of every batch, and the first alone writes; to be
    gone on with, the folder must be visible to all. Batch norms take the statistics of a
    process's share (convert the model for SyncBatchNorm where that is too small), and the running
    ones that are evaluated and saved are the first process's. Otherwise the number of processes
    changes results by rounding alone.

    Args:
        config: what to train, and how.
        data: what ``config.recipe.data`` names, opened.
        folder: the run's folder.
        accelerator: made for ``config`` by :func:`asr_core.training.new_accelerator`.
        overwrite: start anew where the folder holds a run.
        noise: context for each forward pass (the train phase of an attack).
        setting: what else decides the run, as plain values by name (the noise, say).
        save_seconds: time between two writes of ``last.pt``; it is also written at every epoch's
            end and at Ctrl-C.
        on_step: called after each step, in every process.
        on_epoch: called after each epoch's evaluation, in every process, so that it may evaluate
            too; only one of them should write. It must leave the weights alone. An epoch whose
            end was not saved is gone through, and told of, again.

    Raises:
        InputError: data, config and accelerator do not go together, the folder is in use, or the
            loss is no longer finite.
        CheckpointError: ``last.pt`` is damaged, or of a run with other options.
        ParityError: the fused model does not give what the gated one gives.
        OSError: the disk is full; the last state that was saved is whole.
        Interrupted: a KeyboardInterrupt, saying how to go on.
    """
    place, facts = RunFolder(folder), DataFacts.of(data)
    _check(config, data, accelerator)
    learner = Learner(config, facts, accelerator)
    identity = _identity(config, facts, setting)
    main = accelerator.is_main_process
    with _claimed(place, learner, accelerator, overwrite=overwrite):
        history = _resume(place, identity, learner)
        if main:
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
        return finish(learner.evaluated, config, loop.data, history, place, accelerator)


@contextlib.contextmanager
def _claimed(
    place: RunFolder, learner: Learner, accelerator: Accelerator, *, overwrite: bool
) -> Iterator[None]:
    """The folder held by the first process and made ready; all processes hear of a refusal."""
    main = accelerator.is_main_process
    with contextlib.ExitStack() as stack:
        problem: InputError | OSError | None = None
        try:
            place.check(overwrite=overwrite)
            if main:
                stack.enter_context(exclusive(place.path))
                place.check(overwrite=overwrite)  # another run may have ended since
        except (InputError, OSError) as error:
            problem = error
        # Nobody looks into the folder after the first writes.
        if learner.anyone(problem is not None):
            raise problem or InputError(f"{place.path} cannot be used; the first process says why")
        if main:
            place.open(overwrite=overwrite)
        accelerator.wait_for_everyone()
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
    """All that is needed to run it again, as JSON gives it back."""
    whole = {"config": config.as_dict(), "data": facts.as_dict(), "setting": dict(setting or {})}
    found: dict[str, Any] = json.loads(json.dumps(whole))
    return found


def _resume(place: RunFolder, identity: Mapping[str, Any], learner: Learner) -> History:
    state = place.load_state(identity)
    if learner.anyone(state is not None) and state is None:
        raise CheckpointError(
            f"{place.path / LAST}: not found, though other processes have it; the folder must be "
            "visible to all of them"
        )
    if state is None:
        return History()
    history = History.from_dict(state.history)
    learner.load_state(state, str(place.path / LAST))
    return history
