"""The paper's supplementary, figure by figure: what makes it here, and the answer to its claim.

Each study says what it found in docs/paper.json; a section of docs/RESULTS.md is a table of that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import write_json
from robust.report.table import Cell, Table
from robust.studies.sections import put_section


@dataclass(frozen=True)
class Line:
    """A figure or table of the paper.

    Attributes:
        shows: which, as "Fig. 6–13".
        claim: what the paper sees in it.
        command: makes it.
        answer: an :class:`~robust.stats.answer.Answer`; "" where there is no claim.
        found: the numbers.
    """

    shows: str
    claim: str
    command: str
    answer: str
    found: str


STUDIES = ("costs", "settings", "sweeps", "stripes", "style")
"""Who has lines, in the order of the table."""

SETTINGS = (
    Line(
        "Tables 2–4",
        "how networks were trained",
        "robust recipes",
        "",
        "no claim: each column is a recipe, and a test holds every cell to the printed table",
    ),
    Line(
        "Fig. 1–5",
        "where gates stand",
        "robust inspect asr:resnet164",
        "",
        "no claim: the thirteen backbones have their gates there; PLACEMENT.md has other models",
    ),
)

ABOUT = """## The paper's supplementary, figure by figure

What makes each figure and table here, and the answer to its claim: on embedded data, with small
networks and few epochs, as the studies say. Inconclusive is no proof of the contrary: an
interval holds 0, the cases of a claim do not agree, or the training was too short. Of the
noises the supplementary shows batch noise alone: what networks do under constant and random noise,
and when trained under noise, is told in those pages without a verdict.
"""
HEAD = ("paper", "claim", "command", "answer", "found")


def put_lines(docs: Path, study: str, lines: Sequence[Line]) -> None:
    """Say what ``study`` found: replaces its lines in docs/paper.json, and the table.

    Raises:
        InputError: an unknown study.
    """
    if study not in STUDIES:
        raise InputError(f"unknown study {study!r}; known: {', '.join(STUDIES)}")
    file = docs / "paper.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    found["settings"] = [asdict(line) for line in SETTINGS]
    found[study] = [asdict(line) for line in lines]
    found = {name: found[name] for name in STUDIES if name in found}
    write_json(file, found)
    rows = [_row(Line(**line)) for name in found for line in found[name]]
    table = Table(HEAD, rows, words=len(HEAD))
    put_section(docs, "paper", f"{ABOUT}\n{table.markdown()}")


def _row(line: Line) -> tuple[str | Cell, ...]:
    return line.shows, line.claim, Cell(line.command, "code"), Cell(line.answer, "best"), line.found
