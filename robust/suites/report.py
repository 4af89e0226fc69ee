"""The report of a folder of results: tables, curves, and the answer in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr_core.saving.files import write_json, write_text
from robust.report import escape
from robust.report.table import Table
from robust.stats.intervals import Interval
from robust.suites.cohort import Cohort, cohorts
from robust.suites.contrasts import contrasts
from robust.suites.curves import draw_curves, panels_of, save_curves
from robust.suites.results import SuiteResult
from robust.suites.suite import Suite
from robust.suites.tables import accuracy, caption, sentences, table, tidy_csv, unproved

SUMMARY = ".summary.json"


def shown(results: Sequence[SuiteResult], suite: Suite) -> tuple[Table, list[str]]:
    """The table, and the lines below it.

    Raises:
        InputError: the results do not go into one table.
    """
    groups = cohorts(results)
    return table(groups), [caption(groups), *_remarks(groups, suite)]


def write_report(folder: Path, results: Sequence[SuiteResult], suite: Suite) -> list[Path]:
    """Write ``SUITE.md``, ``.csv``, ``.tex``, ``.png``, ``.svg`` and ``.summary.json``.

    They are of these results alone.

    Raises:
        InputError: the results do not go into one table.
        OSError: the folder cannot be written.
    """
    groups = cohorts(results)
    whole = table(groups)
    below = map(escape.markdown, _remarks(groups, suite))
    texts = {
        ".md": "\n".join([whole.markdown(), *below]).rstrip() + "\n",
        ".csv": tidy_csv(groups),
        ".tex": whole.latex(),
    }
    written = []
    for suffix, text in texts.items():
        written.append(folder / (suite.name + suffix))
        write_text(written[-1], text)
    written += save_curves(draw_curves(groups), folder / f"{suite.name}.png")
    written.append(folder / f"{suite.name}{SUMMARY}")
    write_json(written[-1], summary(groups, suite))
    return written


def summary(groups: Sequence[Cohort], suite: Suite) -> dict[str, Any]:
    """The report as JSON-able data: table, curves and answers of these results alone."""
    results = [result for group in groups for result in group.results]
    labels = list(dict.fromkeys(group.label for group in groups))
    return {
        "schema": 1,
        "suite": suite.name,
        "table": table(groups).as_dict(),
        "panels": [
            {
                "title": ", ".join(panel.titles),
                "places": panel.names,
                "series": [
                    {
                        "label": group.label,
                        "colour": labels.index(group.label),
                        "joined": panel.joined,
                        "points": [_percent(accuracy(group, each)) for each in panel.points],
                    }
                    for group in panel.groups
                ],
            }
            for panel in panels_of(groups)
        ],
        "answers": [
            {
                "situation": each.situation,
                "trained_under": each.trained_under,
                "sentence": each.comparison.sentence,
                "answer": each.comparison.answer,
                "visible": _points(each.comparison.difference.visible),
                **_percent(each.comparison.difference),
                "a": each.a,
                "b": each.b,
            }
            for each in contrasts(groups)
        ],
        "notes": [*suite.notes(groups), *unproved(groups)],
        "settings": dict(results[0].settings),
        "models": [
            {
                name: result.meta[name]
                for name in ("name", "file", "sha256", "command", "data", "precision")
                if name in result.meta
            }
            for result in results
        ],
    }


def _percent(interval: Interval) -> dict[str, float | None]:
    return {name: _points(getattr(interval, name)) for name in ("mean", "low", "high")}


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _remarks(groups: Sequence[Cohort], suite: Suite) -> list[str]:
    return [*suite.notes(groups), *unproved(groups), *sentences(contrasts(groups))]
