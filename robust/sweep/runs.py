"""The runs of a study: each has its own folder, and a config that `robust train` reads.

Finished runs are kept, interrupted ones resume, and a failed one does not stop the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from asr_core.saving.files import write_json
from asr_core.saving.run_folder import require_same
from asr_core.training import DataFacts
from asr_core.training.folder import (
    CONFIG,
    LAST,
    RESULT,
    UNIMPORTANT,
    RunConfig,
    RunResult,
    read_config,
    read_result,
)
from robust.report.progress import progress_bar
from robust.sweep.engine import Engine, ThisMachine
from robust.training.classifier import ClassifierRun

PATIENCE = 60
"""Seconds within which a networked disk shows what another machine wrote."""


@dataclass(frozen=True)
class Run:
    """One training run of a study, and its folder."""

    folder: Path
    training: ClassifierRun

    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return (self.folder / RESULT).exists()

    @property
    def seconds(self) -> float:
        """Seconds of its training."""
        return float(self.result.train_seconds)

    @property
    def result(self) -> RunResult:
        """The result of the finished run."""
        return read_result(self.folder / RESULT)

    @property
    def data(self) -> DataFacts:
        """The facts of its training data."""
        return self._kept.data

    @property
    def _kept(self) -> RunConfig:
        return read_config(self.folder / CONFIG)

    def check(self) -> None:
        """Refuse a run that began with other options than the study's.

        Raises:
            CheckpointError: naming the fields that differ.
        """
        if self.done or self._begun:
            kept = {"config": self._kept.config.as_dict(), "setting": self._kept.setting}
            require_same(kept, self.training.identity, self.folder, ignored=UNIMPORTANT)

    @property
    def _begun(self) -> bool:
        return (self.folder / LAST).exists()

    def prepare(self, device: str) -> list[str]:
        """Write the run's config, unless it has begun; returns the command that trains it."""
        config = self.folder / CONFIG
        if not self._begun:
            write_json(config, self.training.as_dict())
        options = ["--device", device, "--quiet", "--out", str(self.folder)]
        return [sys.executable, "-m", "robust", "train", "--config", str(config), *options]


def run_missing(
    runs: Iterable[Run],
    *,
    workers: int,
    say: str,
    seconds: float = 120,
    device: str = "cpu",
    quiet: bool = False,
    engine: Engine | None = None,
) -> list[str]:
    """Train the runs that are not done, in their order; returns a line about each that failed.

    Ctrl-C interrupts those that have begun, which can then resume, and starts no others.

    Args:
        runs: those of the study.
        workers: runs at a time.
        say: name of the study, for the progress bar.
        seconds: roughly the time of a run, to announce the time left until one is done.
        device: "cpu", or "auto" for the machine's accelerator, which the workers share.
        quiet: no progress bar.
        engine: where runs are trained; by default, in processes of this machine.
    """
    engine, runs = engine or ThisMachine(), list(runs)
    for run in runs:
        run.check()
    missing = [run for run in runs if not run.done]
    known = [run.seconds for run in runs if run.done]
    failures: list[str] = []
    with progress_bar(quiet=quiet) as bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task(say, total=len(runs), completed=len(known), note="")
        _announce(bar, task, known or [seconds], len(missing), workers)
        jobs = {pool.submit(_train, run, device, engine): run for run in missing}
        try:
            for ended, job in enumerate(as_completed(jobs), start=1):
                run, problem = jobs[job], job.result()
                if problem:
                    failures.append(f"{run.folder}: {problem}")
                else:
                    known.append(run.seconds)
                bar.advance(task)
                _announce(bar, task, known or [seconds], len(missing) - ended, workers)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else leaving the block runs them all
            engine.interrupt()
            raise
    return failures


def _train(run: Run, device: str, engine: Engine) -> str:
    """Train a run; returns its error in one line, or ""."""
    if problem := engine.run(run.prepare(device)):
        return problem
    end = time.monotonic() + PATIENCE
    while not run.done:
        if time.monotonic() > end:
            return f"it ended well, but there is no {RESULT} here"
        time.sleep(1)
    return ""


def minutes_left(known: Sequence[float], left: int, workers: int) -> float:
    """Minutes that ``left`` runs take, by the seconds that others took."""
    return left * sum(known) / len(known) / min(workers, left or 1) / 60


def _announce(bar: Progress, task: TaskID, known: list[float], left: int, workers: int) -> None:
    minutes = minutes_left(known, left, workers)
    note = f"about {minutes:.0f} minutes left, at {time.strftime('%H:%M')}" if left else ""
    bar.update(task, note=note)
