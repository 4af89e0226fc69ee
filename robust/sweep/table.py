"""The table of a sweep, laid out as in the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from robust.report.table import Cell, Mark, Table
from robust.sweep.grid import FIGURES, Sweep
from robust.sweep.results import Results, interval

NOTHING = "–"


def table_of(results: Results) -> Table:
    """Ours as mean ± half the 95 % interval over seeds, in percent, above the paper's figures.

    Each row marks the best and the second best of a figure, rounded as shown. Ours also name the
    column that the validation split would choose.
    """
    sweep, rows = results.sweep, []
    for i, point in enumerate(sweep.rows):
        axes = list(sweep.axes)[:-1]
        labels = [sweep.label(axis, value) for axis, value in zip(axes, point, strict=True)]
        name = ", ".join(labels) or sweep.title
        ours = [_entries(results.figure(figure)[i]) for figure in sweep.figures]
        column = results.chosen(i)
        chosen = NOTHING if column is None else _column(sweep, column)
        rows.append((Cell(name), *_interleaved(ours), Cell(chosen)))
        if sweep.paper is not None:
            published = [_published(sweep, figure, i) for figure in sweep.figures]
            rows.append((Cell(f"{name}, paper"), *_interleaved(published), Cell("")))
    many = len(sweep.figures) > 1
    heads = [
        _column(sweep, j) + (f", {FIGURES[figure]}" if many else "")
        for j in range(len(sweep.columns))
        for figure in sweep.figures
    ]
    return Table(("", *heads, "chosen on validation"), rows)


def _plus_minus(values: NDArray[np.float64]) -> str:
    """Mean ± half the 95 % interval over the finished seeds, with their number if some lack."""
    over = interval(values)
    if over is None:
        return NOTHING
    text = over.plus_minus(2)
    there = int((~np.isnan(values)).sum())
    return text if there == values.size else f"{text} ({there} of {values.size} seeds)"


def _entries(values: NDArray[np.float64]) -> list[Cell]:
    """The cells of ``values`` (columns, seeds)."""
    means = [None if over is None else over.mean for over in map(interval, values)]
    return _placed(means, lambda j: _plus_minus(values[j]))


def _published(sweep: Sweep, figure: str, row: int) -> list[Cell]:
    paper = sweep.paper.figures if sweep.paper else {}
    if figure not in paper:
        return [Cell(NOTHING)] * len(sweep.columns)
    values = paper[figure][row]
    return _placed(list(values), lambda j: f"{values[j]:.2f}")


def _placed(means: Sequence[float | None], text: Callable[[int], str]) -> list[Cell]:
    shown = [None if mean is None else round(mean, 2) for mean in means]
    order = sorted({mean for mean in shown if mean is not None}, reverse=True)
    marks: dict[float | None, Mark] = {}
    if len(order) > 1:
        marks = {order[0]: "best", order[1]: "second"}
    return [Cell(text(j), marks.get(mean, "")) for j, mean in enumerate(shown)]


def _interleaved(figures: list[list[Cell]]) -> list[Cell]:
    """Columns of each figure -> figures of each column."""
    return [entry for column in zip(*figures, strict=True) for entry in column]


def _column(sweep: Sweep, j: int) -> str:
    return sweep.label(list(sweep.axes)[-1], sweep.columns[j])
