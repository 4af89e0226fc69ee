"""The page of a sweep: the paper's table beside ours, and its claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust.report.page.made import made
from robust.report.page.read import read_run
from robust.report.page.suite import ends
from robust.report.page.values import (
    Answered,
    Block,
    Dots,
    Page,
    Point,
    Section,
    Shown,
    Text,
)
from robust.report.table import Table

_TERMS = [
    (
        "ours",
        "percent of the test images after the last epoch, mean ± half the 95 % t interval over "
        "training seeds",
        "robust: robust.stats.intervals.",
    ),
    ("paper", "as published", ""),
    (
        "claim",
        "supported where the better value is better than each of the others by its own 95 % "
        "interval of paired differences; contradicted by one that allows for their number",
        "Berger 1982; Bonferroni. robust: robust.sweep.claims.",
    ),
]


def sweep_page(folder: Path) -> Page:
    """The page of the sweep whose ``sweep.json`` is in ``folder``."""
    sweep = read_run(folder / "sweep.json")
    over = [claim for claim in sweep["claims"] if claim["where"] == "all rows"]
    answers = [
        Answered(str(claim["claim"]), _said(claim), str(claim["answer"])) for claim in over
    ] or [Answered(str(sweep["title"]), f"{len(sweep['runs'])} runs are finished.")]
    if sweep["missing"]:
        answers.append(
            Answered(
                "Is it finished?",
                f"{len(sweep['missing'])} runs are missing: the table lacks them.",
            )
        )
    facts = {
        "again": f"robust sweep {sweep['name']} --out RUN",
        "axes": sweep["axes"],
        "fields": sweep["fields"],
        "seeds_a_cell": sweep["seeds"],
        "finished_runs": len(sweep["runs"]),
        "paper": sweep.get("paper"),
    }
    return Page(
        f"sweep {sweep['name']}",
        answers,
        [_cells(sweep)],
        [
            Section("tables", "Tables", list(_tables(sweep))),
            Section("made", "How it was made", [made(facts)]),
        ],
    )


def _said(claim: dict[str, Any]) -> str:
    """Its sentence without the verdict, which stands beside it."""
    sentence = str(claim.get("sentence", claim["answer"]))
    return sentence.removeprefix(f"{claim['where']}: {claim['answer']}. ")


def _cells(sweep: dict[str, Any]) -> Dots:
    """Top-1 of each cell; one colour a value of the last axis."""
    *_, last = sweep["axes"]
    columns = [str(value) for value in sweep["axes"][last]]
    rows = []
    for cell in sweep["cells"]:
        found = cell["top1"]
        label = ", ".join(f"{axis} {cell[axis]}" for axis in sweep["axes"])
        points = (
            [] if found["mean"] is None else [Point(found["mean"], found["low"], found["high"])]
        )
        words = "not finished" if found["mean"] is None else f"{found['mean']:.2f} %"
        interval = "" if found["low"] is None else f"[{found['low']:.2f}, {found['high']:.2f}]"
        rows.append((label, columns.index(str(cell[last])) % 6, points, (words, interval)))
    return Dots(
        "Top-1 on the test images, %",
        rows,
        caption="Means and 95 % intervals over training seeds.",
    )


def _tables(sweep: dict[str, Any]) -> Iterator[Block]:
    if "table" in sweep:
        yield Shown(Table(**sweep["table"]), "Ours and the paper's", _TERMS)
    rows = [
        (
            claim["claim"], claim["where"], str(each["than"]), str(claim["answer"]),
            f"{each['points']:+.2f}", ends(each, 2),
        )
        for claim in sweep["claims"]
        for each in claim["differences"]
    ]  # fmt: skip
    if rows:
        head = ("claim", "where", "against", "answer", "points", "95 % interval")
        yield Shown(Table(head, rows, words=3), "Claims", _TERMS[2:])
        yield Text(
            [
                f"{claim['claim']}: {claim['sentence']}"
                for claim in sweep["claims"]
                if "sentence" in claim
            ]
        )
    yield Shown(_runs(sweep), "Runs")


def _runs(sweep: dict[str, Any]) -> Table:
    axes = list(sweep["axes"])
    rows = [
        (
            *(str(run[axis]) for axis in axes), str(run["seed"]), f"{100 * run['test_top1']:.2f}",
            f"{100 * run['test_top5']:.2f}", f"{run['test_loss']:.4f}",
            f"{run['train_seconds']:.0f}",
        )
        for run in sweep["runs"]
    ]  # fmt: skip
    head = (*axes, "seed", "top-1, %", "top-5, %", "loss", "seconds")
    return Table(head, rows, words=len(axes))
