"""Views of a summary: a table of means with intervals, then the answer in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robust.report import escape
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
    header, sections = _table(summary)
    table = Table(*header, caption=_caption(summary))
    for section in sections:
        for row in section:
            table.add_row(*row)
        table.add_section()
    console.print(table)
    console.print(Text(f"\n{summary['question']}", style="bold"))
    for situation, sentences in answers(summary).items():
        console.print(Text(f"{situation}:", style="bold"))
        for sentence in sentences:
            console.print(Text(f"  {sentence}"))


def markdown(summary: dict[str, Any]) -> str:
    """The same as Markdown."""
    header, sections = _table(summary)
    lines = escape.markdown_table(header, [row for section in sections for row in section])
    lines += ["", f"{_caption(summary).capitalize()}.", "", f"**{summary['question']}**"]
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


def _table(summary: dict[str, Any]) -> tuple[list[str], list[list[list[str]]]]:
    """Header, and rows in sections: variants under equal noise stand together, clean first."""
    shown = _shown(summary)
    header = ["norm", "noise", "statistics", *(TITLES[metric] for metric in shown)]
    keys = dict.fromkeys((cell["noise"], cell["severity"]) for cell in summary["cells"])
    sections = []
    for key in sorted(keys, key=lambda key: key[0] != CLEAN):
        cells = [cell for cell in summary["cells"] if (cell["noise"], cell["severity"]) == key]
        sections.append(
            [
                [_norm(cell["norm"]), cell["label"], cell["statistics"]]
                + [_number(cell["metrics"].get(metric)) for metric in shown]
                for cell in sorted(cells, key=lambda cell: cell["norm"] == OTHER_SEED)
            ]
        )
    return header, sections


def _shown(summary: dict[str, Any]) -> list[str]:
    measured = {metric for cell in summary["cells"] for metric in cell["metrics"]}
    return [metric for metric in _COLUMNS if metric in measured]


def _caption(summary: dict[str, Any]) -> str:
    shown = _shown(summary)
    overs = {
        interval["over"]
        for cell in summary["cells"]
        for metric, interval in cell["metrics"].items()
        if metric in shown and interval["low"] is not None
    }
    return f"means ± half of the 95 % interval over {' / '.join(sorted(overs)) or 'nothing'}"


def _norm(name: str) -> str:
    return "IN, other seed" if name == OTHER_SEED else NORM_TITLES.get(name, name)


def _number(interval: dict[str, Any] | None) -> str:
    if interval is None:
        return ""
    if interval["mean"] is None:
        return "equal"
    if interval["low"] is None:
        return f"{interval['mean']:.3f}"
    return f"{interval['mean']:.3f} ± {(interval['high'] - interval['low']) / 2:.3f}"
