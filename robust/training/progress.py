"""What a training run of a style network says of itself: its losses, and the time that is left."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import write_csv
from styletransfer.recipe import StyleRecipe
from styletransfer.train import StyleStep

_TIMED_STEPS = 4


class Clock:
    """Estimates the time that is left from the first steps; a step costs what its crops' area does.

    Args:
        recipe: of the run.
        tell: called once with the seconds that are left.
    """

    def __init__(self, recipe: StyleRecipe, tell: Callable[[float], None]) -> None:
        self._recipe = recipe
        self._tell = tell
        self._first = 0
        self._began = 0.0
        self._steps = 0

    def step(self, index: int) -> None:
        """Step ``index``, counted from 0, has just been done; the very first warms up."""
        if self._steps == 0:
            self._first, self._began = index + 1, time.perf_counter()
        elif self._steps == _TIMED_STEPS:
            spent = time.perf_counter() - self._began
            done = self._area(self._first, index + 1)
            self._tell(spent / done * self._area(index + 1, self._recipe.steps))
        self._steps += 1

    def _area(self, first: int, last: int) -> float:
        return float(sum(self._recipe.crop_size(step) ** 2 for step in range(first, last)))


class StepLog:
    """Losses by step, as CSV; a resumed run continues the file of the interrupted one."""

    COLUMNS = ("step", "loss", "content", "style")

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._path = path
        self._rows: dict[int, list[str]] = {}
        if resumed and path.is_file():
            try:
                with path.open(newline="", encoding="utf-8") as file:
                    rows = list(csv.reader(file))[1:]
                self._rows = {int(step): values for step, *values in rows}
            except (ValueError, csv.Error):  # not UTF-8, or no numbers
                raise InputError(f"{path}: not the log of this run; remove it") from None

    def add(self, step: StyleStep) -> None:
        """Keep a step's losses until :meth:`write`."""
        self._rows[step.step] = [f"{v:.6g}" for v in (step.loss, step.content, step.style)]

    def write(self) -> None:
        """Write all rows."""
        rows = [[step, *values] for step, values in sorted(self._rows.items())]
        write_csv(self._path, self.COLUMNS, rows)
