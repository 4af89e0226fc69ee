"""Table 1 of the paper's supplementary: the section "costs"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from robust.bench.measure import Row, bench, subject, variants
from robust.bench.table_one import MODEL, TABLE_ONE
from robust.report.progress import progress_bar
from robust.report.table import Table
from robust.stats.answer import over_cases
from robust.studies.paper import Line, put_lines
from robust.studies.sections import put_section

ABOUT = """## What attention costs at inference

Made by `python scripts/studies/table_one.py`, which is `robust bench --data-shape {first}` and so
on: Table 1 of the paper's supplementary, {model} in float32 on one thread of a CPU, batches of
{batch} images, {rounds} rounds in which the variants take turns. Speed is images a second relative
to the plain network's in the same round: the median over the rounds, and the range of single
rounds. The paper's is that of its GPU. torch {torch}.
"""
HEAD = ("", "parameters, M", "paper", "speed", "single rounds", "paper")
EQUAL = 0.05
"""Speeds that are nearer to each other are called equal: the noise of such measurements."""


def page(found: Mapping[str, Sequence[Row]], *, batch: int, rounds: int) -> str:
    """The section, from the rows of each data shape."""
    about = ABOUT.format(
        first=next(iter(found)),
        model=MODEL,
        batch=batch,
        rounds=rounds,
        torch=torch.__version__.split("+")[0],
    )
    parts = [about]
    for data, rows in found.items():
        parts += [f"### {data}\n", Table(HEAD, map(_row, rows)).markdown()]
    return "\n".join(parts)


def _row(row: Row) -> tuple[str, ...]:
    paper = f"{row.paper.parameters:.2f}" if row.paper else ""
    ratio = f"{row.paper_ratio:.2f}" if row.paper_ratio else ""
    return (
        row.label, f"{row.parameters / 1e6:.2f}", paper, f"{row.ratio:.2f}",
        f"{row.lowest:.2f} to {row.highest:.2f}", ratio,
    )  # fmt: skip


def lines(found: Mapping[str, Sequence[Row]]) -> list[Line]:
    """The claims of Table 1: were they seen?"""
    rows = [row for each in found.values() for row in each]
    fused = [row for row in rows if row.label.startswith("ASR")]
    live = [row for row in rows if row not in fused and row.label != "plain"]
    equal = [r for r in rows if r.paper and f"{r.parameters / 1e6:.2f}" == f"{r.paper[0]:.2f}"]
    printed = [row for row in rows if row.paper]
    slower = [row for row in live if row.ratio < 1 - EQUAL]
    return [
        Line(
            "Table 1",
            "parameters of each network",
            "robust bench",
            over_cases(row in equal for row in printed),
            f"{len(equal)} of {len(printed)} as printed",
        ),
        Line(
            "Table 1",
            "live attention makes inference slower",
            "robust bench",
            over_cases(row in slower for row in live),
            f"{len(slower)} of {len(live)} are slower than plain: {_range(live)} of its speed",
        ),
        Line(
            "Table 1",
            "ASR, fused, costs nothing",
            "robust bench",
            over_cases(row.ratio > 1 - EQUAL for row in fused),
            f"{_range(fused)} of plain's speed; it is the plain network again",
        ),
    ]


def _range(rows: Sequence[Row]) -> str:
    return f"{min(row.ratio for row in rows):.2f} to {max(row.ratio for row in rows):.2f}"


def study(docs: Path, *, batch_size: int = 16, rounds: int = 7) -> None:
    """Measure, and write the section."""
    found = {}
    for data in TABLE_ONE:
        what = subject(MODEL, data)
        models, _ = variants(what)
        with progress_bar() as bar:
            task = bar.add_task(data, total=len(models) * (rounds + 1), note="")
            found[data] = bench(
                what,
                models,
                batch_size=batch_size,
                rounds=rounds,
                on_forward=partial(bar.advance, task),
            )
    put_section(docs, "costs", page(found, batch=batch_size, rounds=rounds))
    put_lines(docs, "costs", lines(found))
