"""Table 1 of the paper's supplementary on this machine: what attention costs at inference.

Measures ResNet164 plain, with live attention and with ASR fused, in turns, for both image sizes,
and writes the section "costs" of docs/RESULTS.md. Ten minutes on a free core.

    python scripts/make_table_one.py [--batch-size 16] [--rounds 7] [--docs docs]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from paper_page import Line, answer, put_lines
from results_page import put_section

from robust.bench.measure import Row, bench, subject, variants
from robust.bench.table_one import MODEL, TABLE_ONE
from robust.report.progress import progress_bar

ABOUT = """## What attention costs at inference

Made by `python scripts/make_table_one.py`, which is `robust bench --data-shape {first}` and so on:
Table 1 of the paper's supplementary, {model} in float32 on one thread of a CPU, batches of {batch}
images, {rounds} rounds in which the variants take turns. Speed is images a second relative to the
plain network's in the same round: the median over the rounds, and the range of single rounds. The
paper's is that of its GPU. torch {torch}.
"""
HEAD = (
    "| | parameters, M | paper | speed | single rounds | paper |\n|---|---|---|---|---|---|"
)  # fmt: skip
EQUAL = 0.05
"""Speeds that are nearer to each other are called equal: the noise of such measurements."""


def page(found: Mapping[str, Sequence[Row]], *, batch: int, rounds: int) -> str:
    about = ABOUT.format(
        first=next(iter(found)),
        model=MODEL,
        batch=batch,
        rounds=rounds,
        torch=torch.__version__.split("+")[0],
    )
    parts = [about]
    for data, rows in found.items():
        parts.append("\n".join([f"### {data}\n", HEAD, *map(_row, rows)]) + "\n")
    return "\n".join(parts)


def _row(row: Row) -> str:
    paper = f"{row.paper.parameters:.2f}" if row.paper else ""
    ratio = f"{row.paper_ratio:.2f}" if row.paper_ratio else ""
    cells = (
        row.label, f"{row.parameters / 1e6:.2f}", paper, f"{row.ratio:.2f}",
        f"{row.lowest:.2f} to {row.highest:.2f}", ratio,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def lines(found: Mapping[str, Sequence[Row]]) -> list[Line]:
    """The claims of Table 1: were they seen?"""
    rows = [row for each in found.values() for row in each]
    fused = [row for row in rows if row.label.startswith("ASR")]
    live = [row for row in rows if row not in fused and row.label != "plain"]
    equal = [r for r in rows if r.paper and f"{r.parameters / 1e6:.2f}" == f"{r.paper[0]:.2f}"]
    printed = [row for row in rows if row.paper]
    slower = [row for row in live if row.ratio < 1 - EQUAL]
    free = [row for row in fused if row.ratio > 1 - EQUAL]
    return [
        Line(
            "Table 1",
            "parameters of each network",
            "robust bench",
            answer(len(equal), len(printed)),
            f"{len(equal)} of {len(printed)} as printed",
        ),
        Line(
            "Table 1",
            "live attention makes inference slower",
            "robust bench",
            answer(len(slower), len(live)),
            f"{len(slower)} of {len(live)} are slower than plain: {_range(live)} of its speed",
        ),
        Line(
            "Table 1",
            "ASR, fused, costs nothing",
            "robust bench",
            answer(len(free), len(fused)),
            f"{_range(fused)} of plain's speed; it is the plain network again",
        ),
    ]


def _range(rows: Sequence[Row]) -> str:
    return f"{min(row.ratio for row in rows):.2f} to {max(row.ratio for row in rows):.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = {}
    for data in TABLE_ONE:
        what = subject(MODEL, data)
        models, _ = variants(what)
        with progress_bar() as bar:
            task = bar.add_task(data, total=len(models) * (options.rounds + 1), note="")
            found[data] = bench(
                what,
                models,
                batch_size=options.batch_size,
                rounds=options.rounds,
                device=torch.device("cpu"),
                on_forward=lambda bar=bar, task=task: bar.advance(task),
            )
    text = page(found, batch=options.batch_size, rounds=options.rounds)
    put_section(options.docs / "RESULTS.md", "costs", text)
    put_lines(options.docs, "costs", lines(found))


if __name__ == "__main__":
    main()
