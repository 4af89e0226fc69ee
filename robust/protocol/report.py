"""The files of a study: the verdicts as data, the page, and the forest plot."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from asr_core.saving.files import write_json, write_text
from robust.protocol.page import changes, forest, page, short_table
from robust.protocol.scores import Findings
from robust.protocol.study import VERDICTS, Study
from robust.protocol.verdicts import Verdict, as_data, decide
from robust.report.table import Table
from robust.suites.curves import save_curves

PAGE, PLOT = "page.md", "forest.png"


@dataclass(frozen=True)
class Report:
    """What a study says.

    Attributes:
        verdicts: in the order of the protocol.
        table: the same as a short table.
        lines: what would decide what is open.
        text: the page.
    """

    verdicts: list[Verdict]
    table: Table
    lines: list[str]
    text: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"endpoints": as_data(self.verdicts)}


def report(study: Study, findings: Findings, command: str, *, plot: str = PLOT) -> Report:
    """Decide, and write ``verdicts.json``, then ``forest.png``, ``.svg`` and ``page.md``.

    Args:
        study: the study.
        findings: what was measured.
        command: that makes it again.
        plot: where the page finds the picture.

    Raises:
        InputError: the findings deviate from the declaration.
    """
    verdicts = decide(study.declaration, findings)
    made = Report(
        verdicts,
        short_table(verdicts),
        changes(verdicts),
        page(study.declaration, verdicts, command, plot),
    )
    data = {"schema": 1, "declaration": study.declaration.as_dict(), **made.as_dict()}
    write_json(study.folder / VERDICTS, data)
    save_curves(forest(verdicts), study.folder / PLOT)
    write_text(study.folder / PAGE, made.text)
    return made


def command_of(data: str | None, data_folder: str | None, protocol: str | None, seeds: int) -> str:
    """The command line of a study."""
    words = ["robust", "study", "paper"]
    for name, value in (
        ("data", data), ("data-folder", data_folder), ("protocol", protocol), ("seeds", seeds),
    ):  # fmt: skip
        if value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
