"""The results of a sweep's runs as arrays, rows and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.report import escape
from robust.stats.intervals import Interval, mean_interval
from robust.sweep.grid import Point, Sweep
from robust.sweep.runs import Run

SCHEMA = 1
_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Results:
    """The runs of a sweep, finished or not."""

    sweep: Sweep
    runs: Mapping[tuple[Point, int], Run]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each finished run: axes, seed, shares after the last epoch, and its folder."""
        rows = []
        for (point, seed), run in self.runs.items():
            if not run.done:
                continue
            result = run.result
            row: dict[str, Any] = dict(zip(self.sweep.axes, point, strict=True))
            row["seed"] = seed
            for figure in ("top1", "top5", "loss"):
                row[f"test_{figure}"] = getattr(result.test, figure)
                row[f"validation_{figure}"] = result.last[f"validation_{figure}"]
            row["train_seconds"] = result.train_seconds
            row["folder"] = run.folder.name
            rows.append(row)
        return rows

    def figure(self, name: str, split: str = "test") -> NDArray[np.float64]:
        """Percentages after the last epoch: (rows, columns, seeds); NaN for unfinished runs."""
        sweep = self.sweep
        values = np.full((len(sweep.points), sweep.seeds), np.nan)
        for row in self.rows:
            point = tuple(row[axis] for axis in sweep.axes)
            values[sweep.points.index(point), row["seed"]] = 100 * row[f"{split}_{name}"]
        return values.reshape(len(sweep.rows), len(sweep.columns), sweep.seeds)

    @property
    def missing(self) -> list[Path]:
        """Folders of the unfinished runs."""
        return [run.folder for run in self.runs.values() if not run.done]

    @property
    def images(self) -> int:
        """Number of test images; 0 if no run is finished."""
        done = (run.result.test.images for run in self.runs.values() if run.done)
        return next(done, 0)

    def chosen(self, row: int) -> int | None:
        """The column of the best mean top-1 on validation, among those without unfinished runs."""
        means = self.figure("top1", "validation")[row].mean(-1)
        return None if np.isnan(means).all() else int(np.nanargmax(means))

    def csv(self) -> str:
        """:attr:`rows` as CSV."""
        text = io.StringIO()
        names = [*self.sweep.axes, "seed"]
        names += [f"{s}_{f}" for f in ("top1", "top5", "loss") for s in _SPLITS]
        writer = csv.DictWriter(text, [*names, "train_seconds", "folder"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: escape.csv_cell(str(v)) for k, v in row.items()} for row in self.rows)
        return text.getvalue()

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data; intervals are 95 %, over seeds, in percent."""
        sweep = self.sweep
        cells = []
        for i, row in enumerate(sweep.rows):
            for j, column in enumerate(sweep.columns):
                point = dict(zip(sweep.axes, (*row, column), strict=True))
                figures = {name: _plain(self.figure(name)[i, j]) for name in sweep.figures}
                cells.append({**point, **figures, "chosen_on_validation": self.chosen(i) == j})
        return {
            "schema": SCHEMA,
            "name": sweep.name,
            "title": sweep.title,
            "axes": {axis: list(values) for axis, values in sweep.axes.items()},
            "fields": dict(sweep.fields),
            "seeds": sweep.seeds,
            "cells": cells,
            "runs": self.rows,
            "missing": [folder.name for folder in self.missing],
        }


def interval(values: NDArray[np.float64]) -> Interval | None:
    """The 95 % interval over the finished seeds; None without any."""
    there = values[~np.isnan(values)]
    return mean_interval(there[:, None]) if there.size else None


def _plain(values: NDArray[np.float64]) -> dict[str, float | int | None]:
    over = interval(values)
    figures = {name: getattr(over, name, None) for name in ("mean", "low", "high")}
    return {**figures, "seeds": int((~np.isnan(values)).sum())}
