"""The runs of a study: many `robust train` commands, each with a folder of its own.

A finished run is not run again, an interrupted one is gone on with, and one that fails is told of
while the rest goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from asr_core.training import DataFacts, TrainConfig
from asr_core.training.folder import CONFIG, RESULT, RunResult, read_config, read_result
from robust.report.progress import progress_bar
from robust.sweep.engine import Engine, ThisMachine

PATIENCE = 60
"""Seconds until a networked disk shows here what another machine wrote."""


@dataclass(frozen=True)
class Cell:
    """One run: its folder, and the arguments of `robust train` that make it."""

    folder: Path
    arguments: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return (self.folder / RESULT).exists()

    def command(self, device: str) -> list[str]:
        """What makes the run, on ``device``."""
        line = [sys.executable, "-m", "robust", "train", *self.arguments]
        return [*line, "--device", device, "--quiet", "--out", str(self.folder)]

    @property
    def seconds(self) -> float:
        """What training took, by the run's own clock."""
        return float(self.result.train_seconds)

    @property
    def result(self) -> RunResult:
        """What the finished run gave."""
        return read_result(self.folder / RESULT)

    @property
    def config(self) -> TrainConfig:
        """What was trained, and how."""
        return read_config(self.folder / CONFIG).config

    @property
    def data(self) -> DataFacts:
        """What it was trained on, in figures."""
        return read_config(self.folder / CONFIG).data


def run_missing(
    cells: Sequence[Cell],
    *,
    workers: int,
    say: str,
    seconds: float = 120,
    device: str = "cpu",
    quiet: bool = False,
    engine: Engine | None = None,
) -> list[str]:
    """Train the cells that are not done; returns a line about each that failed.

    After Ctrl-C none is begun, and those under way end resumable.

    Args:
        cells: the runs, in the order in which they are begun.
        workers: runs at a time.
        say: name of the study, for the progress bar.
        seconds: what a run takes, roughly, for the time that is announced before one is done.
        device: "cpu", or "auto" for the machine's accelerator, which the workers share.
        quiet: no progress bar.
        engine: where runs are trained; by default, in processes of this machine.
    """
    engine = engine or ThisMachine()
    missing = [cell for cell in cells if not cell.done]
    known = [cell.seconds for cell in cells if cell.done]
    failures: list[str] = []
    with progress_bar(quiet=quiet) as bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task(say, total=len(cells), completed=len(known), note="")
        _announce(bar, task, known or [seconds], len(missing), workers)
        jobs = {pool.submit(_train, cell, device, engine): cell for cell in missing}
        try:
            for ended, job in enumerate(as_completed(jobs), start=1):
                cell, problem = jobs[job], job.result()
                if problem:
                    failures.append(f"{cell.folder}: {problem}")
                else:
                    known.append(cell.seconds)
                bar.advance(task)
                _announce(bar, task, known or [seconds], len(missing) - ended, workers)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # leaving the block would run them all
            engine.interrupt()
            raise
    return failures


def _train(cell: Cell, device: str, engine: Engine) -> str:
    """Run a cell; what went wrong, in a line, or nothing."""
    if problem := engine.run(cell.command(device)):
        return problem
    end = time.monotonic() + PATIENCE
    while not cell.done:
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
