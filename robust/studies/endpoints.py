"""The declared endpoints as the first section of docs/RESULTS.md, and as a table in README.md."""

from __future__ import annotations

from pathlib import Path

from asr_core.saving.files import write_text
from asr_core.saving.text_files import read_json
from robust.protocol.declared import Declaration, read_protocol
from robust.protocol.page import forest, table
from robust.protocol.report import command_of, report
from robust.protocol.scores import SCORES, STYLE, read_findings
from robust.protocol.study import DECLARED, Study
from robust.protocol.verdicts import decide
from robust.report.table import Table
from robust.studies.command import raise_failures
from robust.studies.sections import put_section, replace_section
from robust.suites.curves import save_curves

TITLE = "## What was declared, and what was found"
PLOT = "gallery/endpoints.png"
DATA = "endpoints"
"""Folder in docs of the declaration and of what was measured."""
SHORT = ("claim", "published", "ours", "smallest visible", "verdict")
"""Columns of the table in README.md."""


def study(
    runs: Path,
    docs: Path,
    *,
    style: Path | None = None,
    seeds: int | None = None,
    workers: int = 1,
    device: str = "auto",
    train: bool = True,
) -> None:
    """Train what is missing unless ``train`` is False, measure, and write the section and its data.

    A README.md beside ``docs`` gets its table too.

    Raises:
        InputError: a run failed, or what is there deviates from the declaration.
    """
    begun = Study.begin(*read_protocol(), runs, seeds=seeds)
    if train:
        raise_failures(begun.train(workers=workers, device=device))
    findings = begun.measure(device=device, style=style)
    told = report(begun, findings, command_of(None, None, None, begun.declaration.seeds), plot=PLOT)
    for name in (DECLARED, SCORES, STYLE):
        write_text(docs / DATA / name, (runs / name).read_text(encoding="utf-8"))
    save_curves(forest(told.verdicts), docs / PLOT)
    put_section(docs, "endpoints", f"{TITLE}\n\n{told.text}")
    readme = docs.parent / "README.md"
    if readme.exists():
        replace_section(readme, "endpoints", short_table(docs).markdown())


def short_table(docs: Path) -> Table:
    """The table of README.md: the columns ``SHORT`` of the section's, from the data in ``docs``."""
    declaration = Declaration.from_dict(read_json(docs / DATA / DECLARED))
    whole = table(decide(declaration, read_findings(docs / DATA)), "")
    kept = [whole.head.index(title) for title in SHORT]
    return Table(SHORT, [[row[index] for index in kept] for row in whole.rows])
