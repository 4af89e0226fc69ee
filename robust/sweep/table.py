"""The table of a sweep, as the paper lays it out: Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.report import escape
from robust.sweep.grid import FIGURES, Sweep
from robust.sweep.results import Results, interval

NOTHING = "–"
BEST, SECOND = 1, 2


@dataclass(frozen=True)
class Entry:
    """A cell of the table: its text, and its place in its row: 1 best, 2 second, 0 another."""

    text: str
    place: int = 0


@dataclass(frozen=True)
class Table:
    """Heads, and rows of as many entries."""

    head: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def table_of(results: Results) -> Table:
    """Ours as mean ± half the 95 % interval over seeds, in percent, above the paper's figures.

    In each row the best and the second best of a figure are marked, by the decimals that are
    shown; equal ones alike. Ours also say which column the validation split would choose.
    """
    sweep, rows = results.sweep, []
    for i, point in enumerate(sweep.rows):
        axes = list(sweep.axes)[:-1]
        labels = [sweep.label(axis, value) for axis, value in zip(axes, point, strict=True)]
        name = ", ".join(labels) or sweep.title
        ours = [_entries(results.figure(figure)[i]) for figure in sweep.figures]
        column = results.chosen(i)
        chosen = NOTHING if column is None else _column(sweep, column)
        rows.append((Entry(name), *_interleaved(ours), Entry(chosen)))
        if sweep.paper is not None:
            published = [_published(sweep, figure, i) for figure in sweep.figures]
            rows.append((Entry(f"{name}, paper"), *_interleaved(published), Entry("")))
    many = len(sweep.figures) > 1
    heads = [
        _column(sweep, j) + (f", {FIGURES[figure]}" if many else "")
        for j in range(len(sweep.columns))
        for figure in sweep.figures
    ]
    return Table(("", *heads, "chosen on validation"), tuple(rows))


def markdown(table: Table) -> str:
    """Best bold, second best underlined."""

    def entry(cell: Entry) -> str:
        text = escape.markdown(cell.text)
        return {BEST: f"**{text}**", SECOND: f"<u>{text}</u>"}.get(cell.place, text)

    lines = [_line(list(map(escape.markdown, table.head))), _line(["---"] * len(table.head))]
    return "\n".join([*lines, *(_line([entry(cell) for cell in row]) for row in table.rows)])


def latex(table: Table) -> str:
    """A tabular of the package booktabs."""

    def entry(cell: Entry) -> str:
        text = escape.latex(cell.text)
        marked = {BEST: rf"\textbf{{{text}}}", SECOND: rf"\underline{{{text}}}"}
        return marked.get(cell.place, text)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    columns = "l" + "c" * (len(table.head) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line([escape.latex(head) for head in table.head]),
            r"\midrule",
            *(line([entry(cell) for cell in row]) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def plus_minus(values: NDArray[np.float64], *, sign: str = "") -> str:
    """Mean ± half the 95 % interval of the seeds that are there, and how many where some lack."""
    found = interval(values)
    if found is None:
        return NOTHING
    text = f"{found.mean:{sign}.2f}"
    if found.low is not None and found.high is not None:
        text += f" ± {(found.high - found.low) / 2:.2f}"
    there = int((~np.isnan(values)).sum())
    return text if there == values.size else f"{text} ({there} of {values.size} seeds)"


def _entries(values: NDArray[np.float64]) -> list[Entry]:
    """Of (columns, seeds)."""
    found = [interval(each) for each in values]
    means = [None if each is None else each.mean for each in found]
    return _placed(means, lambda j: plus_minus(values[j]))


def _published(sweep: Sweep, figure: str, row: int) -> list[Entry]:
    paper = sweep.paper.figures if sweep.paper else {}
    if figure not in paper:
        return [Entry(NOTHING)] * len(sweep.columns)
    values = paper[figure][row]
    return _placed(list(values), lambda j: f"{values[j]:.2f}")


def _placed(means: Sequence[float | None], text: Callable[[int], str]) -> list[Entry]:
    shown = [None if mean is None else round(mean, 2) for mean in means]
    order = sorted({mean for mean in shown if mean is not None}, reverse=True)
    places = dict(zip(order, (BEST, SECOND), strict=False)) if len(order) > 1 else {}
    return [
        Entry(text(j), 0 if mean is None else places.get(mean, 0)) for j, mean in enumerate(shown)
    ]


def _interleaved(figures: list[list[Entry]]) -> list[Entry]:
    """Columns of each figure -> the figures of each column."""
    return [entry for column in zip(*figures, strict=True) for entry in column]


def _column(sweep: Sweep, j: int) -> str:
    return sweep.label(list(sweep.axes)[-1], sweep.columns[j])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
