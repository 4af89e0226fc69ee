"""The report of a folder of results: tables, curves, and the answer in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asr_core.saving.files import write_text
from robust.report import escape
from robust.report.table import Table
from robust.suites.cohort import Cohort, cohorts
from robust.suites.contrasts import contrasts
from robust.suites.results import SuiteResult
from robust.suites.suite import Suite
from robust.suites.tables import caption, sentences, table, tidy_csv, unproved


def shown(results: Sequence[SuiteResult], suite: Suite) -> tuple[Table, list[str]]:
    """The table, and the lines below it.

    Raises:
        InputError: the results do not go into one table.
    """
    groups = cohorts(results)
    return table(groups), [caption(groups), *_remarks(groups, suite)]


def write_report(folder: Path, results: Sequence[SuiteResult], suite: Suite) -> list[Path]:
    """Write ``SUITE.md``, ``.csv``, ``.tex``, ``.png`` and ``.svg``, of these results alone.

    Raises:
        InputError: the results do not go into one table.
        OSError: the folder cannot be written.
    """
    from robust.suites.curves import draw_curves, save_curves

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
    return written + save_curves(draw_curves(groups), folder / f"{suite.name}.png")


def _remarks(groups: Sequence[Cohort], suite: Suite) -> list[str]:
    return [*suite.notes(groups), *unproved(groups), *sentences(contrasts(groups))]
