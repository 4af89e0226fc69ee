"""The training runs of a study: many `robust train` commands, each with a folder of its own.

A finished run is not run again, an interrupted one is gone on with, and one that fails is told of
while the rest goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_core.training.folder import CONFIG, RESULT
from robust.cli.progress import progress_bar


@dataclass(frozen=True)
class Cell:
    """One run: its folder, and the arguments of `robust train` that make it."""

    folder: Path
    arguments: tuple[str, ...]

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).exists()

    @property
    def seconds(self) -> float:
        """What training took, by the run's own clock."""
        return float(self.result["train_seconds"])

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / RESULT).read_text())

    @property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / CONFIG).read_text())["config"]


def run_missing(cells: Sequence[Cell], *, workers: int, say: str) -> list[str]:
    """Train the cells that are not done; returns a line about each that failed.

    One thread each: runs side by side are faster than one run on many cores. The time is announced
    as soon as a run is done from which to tell.
    """
    missing = [cell for cell in cells if not cell.done]
    failures: list[str] = []
    with progress_bar(quiet=False) as bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task(say, total=len(cells), completed=len(cells) - len(missing), note="")
        known = [cell.seconds for cell in cells if cell.done]
        _announce(bar, task, known, len(missing), workers)
        jobs = {pool.submit(_train, cell): cell for cell in missing}
        for left, job in enumerate(as_completed(jobs), start=1):
            cell, problem = jobs[job], job.result()
            if problem:
                failures.append(f"{cell.folder}: {problem}")
            else:
                known.append(cell.seconds)
            bar.advance(task)
            _announce(bar, task, known, len(missing) - left, workers)
    return failures


def _train(cell: Cell) -> str:
    """Run a cell; what went wrong, in a line, or nothing."""
    command = [sys.executable, "-m", "robust", "train", *cell.arguments]
    done = subprocess.run(
        [*command, "--cpu", "--quiet", "--out", str(cell.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit {done.returncode}")


def _announce(bar: Any, task: Any, known: list[float], left: int, workers: int) -> None:
    if known and left:
        minutes = left * sum(known) / len(known) / workers / 60
        bar.update(task, note=f"about {minutes:.0f} minutes left, at {time.strftime('%H:%M')}")
