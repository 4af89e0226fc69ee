"""Views of a summary: a table of means with intervals, then the answer in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from robust.report.table import Table
from robust.stats.intervals import Interval
from robust.style.measure import TITLES
from robust.style.results import CLEAN
from robust.style.run import OTHER_SEED
from robust.style.samples import NORM_TITLES
from robust.style.summary import ATTACKED, WEIGHTY

_COLUMNS = (*WEIGHTY, "spread")
_UNANSWERED = (
    "It cannot be answered: the run lacks IN, BN, BN+ASR or BN+const of one training seed."
)


def print_report(summary: dict[str, Any], console: Console) -> None:
    """Print a summary made by :func:`robust.style.summary.summarise`."""
    console.print(table(summary).rich())
    console.print(Text(f"\n{summary['question']}", style="bold"))
    for situation, sentences in answers(summary).items():
        console.print(Text(f"{situation}:", style="bold"))
        for sentence in sentences:
            console.print(Text(f"  {sentence}"))


def markdown(summary: dict[str, Any]) -> str:
    """The same as Markdown."""
    lines = [table(summary).markdown(), f"**{summary['question']}**"]
    for situation, sentences in answers(summary).items():
        lines += ["", f"*{situation}*", "", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join(lines) + "\n"


def answers(summary: dict[str, Any]) -> dict[str, list[str]]:
    """The verdicts for clean pictures and for each noise's attacks together, by situation."""
    found: dict[str, list[str]] = {}
    for verdict in summary["verdicts"]:
        situation = verdict["situation"]
        if situation == CLEAN or situation.endswith(ATTACKED):
            found.setdefault(situation, []).append(verdict["sentence"])
    return found or {"no answer": [_UNANSWERED]}


def table(summary: dict[str, Any]) -> Table:
    """Means with intervals: variants under equal noise stand together, clean first."""
    cells = summary["cells"]
    measured = {metric for cell in cells for metric in cell["metrics"]}
    shown = [metric for metric in _COLUMNS if metric in measured]
    noises = list(dict.fromkeys((cell["noise"], cell["severity"]) for cell in cells))
    noises.sort(key=lambda key: key[0] != CLEAN)
    rows: list[list[str]] = []
    rules = []
    for key in noises:
        alike = [cell for cell in cells if (cell["noise"], cell["severity"]) == key]
        rules.append(len(rows))
        rows += [
            [_norm(cell["norm"]), cell["label"], cell["statistics"]]
            + [_number(cell["metrics"].get(metric)) for metric in shown]
            for cell in sorted(alike, key=lambda cell: cell["norm"] == OTHER_SEED)
        ]
    overs = {
        interval["over"]
        for cell in cells
        for metric, interval in cell["metrics"].items()
        if metric in shown and interval["low"] is not None
    }
    return Table(
        ("norm", "noise", "statistics", *(TITLES[metric] for metric in shown)),
        rows,
        words=3,
        caption=f"means ± half of the 95 % interval over {' / '.join(sorted(overs)) or 'nothing'}",
        rules=rules[1:],
    )


def _norm(name: str) -> str:
    return "IN, other seed" if name == OTHER_SEED else NORM_TITLES.get(name, name)


def _number(interval: dict[str, Any] | None) -> str:
    if interval is None:
        return ""
    return "equal" if interval["mean"] is None else Interval(**interval).plus_minus(3)
