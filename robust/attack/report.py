"""The run on a terminal: one table of means with intervals, then the answer in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from robust.attack.measure import TITLES
from robust.attack.run import OTHER_SEED
from robust.attack.samples import NORM_TITLES
from robust.attack.summary import WEIGHTY

_COLUMNS = (*WEIGHTY, "spread")


def render(summary: dict[str, Any]) -> RenderableType:
    """Table and verdicts of a summary made by :func:`robust.attack.summary.summarise`."""
    return Group(
        _table(summary), Text(), Text(summary["question"], style="bold"), *_answers(summary)
    )


def print_report(summary: dict[str, Any], console: Console) -> None:
    """Print :func:`render` on ``console``."""
    console.print(render(summary))


def _table(summary: dict[str, Any]) -> Table:
    shown = [
        metric for metric in _COLUMNS if any(metric in cell["metrics"] for cell in summary["cells"])
    ]
    overs = {
        interval["over"]
        for cell in summary["cells"]
        for metric, interval in cell["metrics"].items()
        if metric in shown and interval["low"] is not None
    }
    table = Table(caption=f"means ± half of the 95 % interval over {' / '.join(sorted(overs))}")
    table.add_column("norm")
    table.add_column("noise")
    table.add_column("statistics")
    for metric in shown:
        table.add_column(TITLES[metric], justify="right")
    # Clean first, then severity by severity: variants under equal noise stand together.
    order = list(dict.fromkeys((cell["noise"], cell["severity"]) for cell in summary["cells"]))
    for index, key in enumerate(sorted(order, key=lambda key: key[0] != "clean")):
        if index:
            table.add_section()
        for cell in summary["cells"]:
            if (cell["noise"], cell["severity"]) == key:
                table.add_row(
                    _norm(cell["norm"]),
                    cell["label"],
                    cell["statistics"],
                    *(_number(cell["metrics"].get(metric)) for metric in shown),
                )
    return table


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


def _answers(summary: dict[str, Any]) -> list[Text]:
    """The verdicts for clean pictures and for each noise's attacks together."""
    chosen = [
        verdict
        for verdict in summary["verdicts"]
        if verdict["situation"] == "clean" or verdict["situation"].endswith("attacked")
    ]
    if not chosen:
        return [Text("cannot be answered: the run lacks IN, BN, BN+ASR or BN+const of one seed")]
    lines = []
    for situation in dict.fromkeys(verdict["situation"] for verdict in chosen):
        lines.append(Text(f"{situation}:", style="bold"))
        lines += [
            Text(f"  {verdict['sentence']}")
            for verdict in chosen
            if verdict["situation"] == situation
        ]
    return lines
