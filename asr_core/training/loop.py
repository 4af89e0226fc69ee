"""The loop of a run: steps, evaluation at each epoch's end, and the state on disk."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from asr_core.data import ImageSet, steps_per_epoch, train_batches
from asr_core.errors import InputError
from asr_core.models import Normalized
from asr_core.saving.interrupt import Interrupted, Interrupts, postponed_interrupt
from asr_core.training.config import TrainConfig
from asr_core.training.evaluate import evaluate
from asr_core.training.folder import LAST, ClassifierFolder
from asr_core.training.history import History, Row
from asr_core.training.learner import Learner

if TYPE_CHECKING:
    from accelerate import Accelerator

StepNoise = Callable[[nn.Module, int], contextlib.AbstractContextManager[object]]
"""``noise(model, step)``: a context for a forward pass in a step, counted over all epochs. Each
part of an accumulated batch enters one."""


class Step(NamedTuple):
    """A finished step: ``step`` of ``steps`` in its epoch, and the mean loss of its batch."""

    epoch: int
    step: int
    steps: int
    loss: float
    images_per_second: float


class EpochEnd(NamedTuple):
    """A finished epoch: the evaluated model, in eval mode, and its row."""

    epoch: int
    model: Normalized
    row: Row


@dataclass(kw_only=True)
class Loop:
    """The epochs of :func:`asr_core.training.train`, from the position of ``history`` on."""

    config: TrainConfig
    data: ImageSet
    learner: Learner
    history: History
    accelerator: Accelerator
    place: ClassifierFolder
    identity: Mapping[str, Any]
    noise: StepNoise | None
    save_seconds: float
    on_step: Callable[[Step], None] | None
    on_epoch: Callable[[EpochEnd], None] | None

    def __post_init__(self) -> None:
        self.steps = steps_per_epoch(self.data.train, self.config.recipe.batch_size)

    def run(self) -> None:
        """Run the remaining epochs; the model then has the main process's batch statistics."""
        self._saved = time.perf_counter()
        with postponed_interrupt() as interrupted, _trackers(self.accelerator):
            while self.history.epoch < self.config.recipe.epochs:
                self._steps(interrupted)
                self._end_epoch()
                if self.learner.anyone(interrupted()):
                    raise self._interrupted(interrupted)
        self.learner.share_buffers()

    def _steps(self, interrupted: Interrupts) -> None:
        """Run the rest of the current epoch."""
        recipe, history, learner = self.config.recipe, self.history, self.learner
        epoch, before = history.epoch, time.perf_counter()
        for images, labels in train_batches(
            self.data.train,
            batch_size=recipe.batch_size,
            seed=self.config.seed,
            epoch=epoch,
            start=history.step,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        ):
            noise = self.noise and partial(
                self.noise, learner.model, epoch * self.steps + history.step
            )
            figures = learner.step(
                images,
                labels,
                lr=self._rate(history.step),
                at=(epoch, history.step),
                noise=noise,
                flagged=interrupted,
            )
            if not math.isfinite(figures.loss):
                raise self._diverged("loss is", history.step)
            now = time.perf_counter()
            history.add(figures, images=recipe.batch_size, seconds=now - before)
            before = now
            if self.on_step:
                loss = figures.loss / recipe.batch_size
                speed = history.images / history.seconds
                self.on_step(Step(epoch, history.step, self.steps, loss, speed))
            if figures.flagged:
                self._save()
                raise self._interrupted(interrupted)
            if now - self._saved >= self.save_seconds:
                self._save()

    def _end_epoch(self) -> None:
        """Evaluate, report and save."""
        history, main = self.history, self.accelerator.is_main_process
        self.learner.share_buffers()
        model = self.learner.evaluated.eval()
        validation = evaluate(
            model,
            self.data.validation,
            batch_size=self.config.recipe.batch_size,
            accelerator=self.accelerator,
        )
        last = self.steps - 1
        if not math.isfinite(validation.loss):
            raise self._diverged("validation loss is", last)
        row = history.end_epoch(
            lr=self._rate(last),
            validation=validation.figures(),
            validation_seconds=validation.seconds,
        )
        epoch = int(row["epoch"])
        if self.on_epoch:
            self.on_epoch(EpochEnd(epoch, model, row))
        if main and history.best is row:
            self.place.save_best(self.identity, model.model.state_dict(), epoch)
        self._save()
        if main:
            history.write(self.place.path)
        self.accelerator.log(row, step=epoch)

    def _save(self) -> None:
        if not self.learner.finite():
            raise self._diverged("weights are", self.history.step - 1)
        if self.accelerator.is_main_process:
            state = {**self.learner.state(), "history": self.history.as_dict()}
            self.place.save_state(self.identity, state)
        self._saved = time.perf_counter()

    def _rate(self, step: int) -> float:
        """The learning rate at a step of the current epoch."""
        return self.config.recipe.learning_rate(self.history.epoch + step / self.steps)

    def _diverged(self, what: str, step: int) -> InputError:
        last = self.place.path / LAST
        kept = f"the last good state is {last}" if last.exists() else "nothing was saved yet"
        return InputError(
            f"the {what} not finite at epoch {self.history.epoch}, step {step} of {self.steps} "
            f"(learning rate {self._rate(max(0, step)):.3g}); {kept}. Overwrite the run "
            "with a lower learning rate, more warm-up, or clipping"
        )

    def _interrupted(self, interrupts: Interrupts) -> Interrupted:
        return Interrupted(
            f"the same command goes on from here; the state is {self.place.path / LAST}",
            interrupts.signum or signal.SIGINT,  # another process was interrupted
        )


@contextlib.contextmanager
def _trackers(accelerator: Accelerator) -> Iterator[None]:
    if accelerator.log_with:
        accelerator.init_trackers("tensorboard")
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
