"""What was measured, as a small file: an accuracy a line, and the style networks' losses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from asr_core.errors import InputError
from asr_core.saving.files import write_text


@dataclass(frozen=True)
class Score:
    """An accuracy of one network.

    Attributes:
        arm: of the protocol.
        seed: of the training.
        on: "clean", "noise" or "freezing"; "pilot" for noise on validation images.
        detail: the severity; of freezing "before" or "after".
        split: whose images.
        top1: share of images that it has right, in [0, 1].
        images: how many there are.
    """

    arm: str
    seed: int
    on: str
    detail: str
    split: str
    top1: float
    images: int


@dataclass(frozen=True)
class StyleLoss:
    """The loss of the style networks of one training seed on one picture, under batch noise.

    The mean over draws and severities; ``instance`` of IN, ``batch`` of BN, ``ours`` of BN+ASR.
    """

    seed: int
    image: str
    instance: float
    batch: float
    ours: float


@dataclass(frozen=True)
class Findings:
    """All that the verdicts are made from."""

    scores: Sequence[Score]
    style: Sequence[StyleLoss] = ()

    def write(self, folder: Path) -> None:
        """Write ``scores.csv`` and ``style.csv``, each atomically."""
        for name, kind, rows in (
            (SCORES, Score, self.scores),
            (STYLE, StyleLoss, self.style),
        ):
            write_text(folder / name, _csv(kind, rows))


SCORES, STYLE = "scores.csv", "style.csv"
Row = TypeVar("Row", Score, StyleLoss)


def read_findings(folder: Path) -> Findings:
    """What :meth:`Findings.write` wrote.

    Raises:
        InputError: a file is missing or damaged; the message names it and the line.
    """
    return Findings(_rows(folder / SCORES, Score), _rows(folder / STYLE, StyleLoss))


def _csv(kind: type, rows: Iterable[Score | StyleLoss]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _rows(path: Path, kind: type[Row]) -> list[Row]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; the study has not been measured")
    convert = {"int": int, "float": float, "str": str}
    made = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                values = {f.name: convert[str(f.type)](row[f.name]) for f in fields(kind)}
                made.append(kind(**values))
            except (KeyError, TypeError, ValueError) as error:
                line = len(made) + 2
                raise InputError(f"{path}, line {line}: no {kind.__name__}: {error}") from None
    return made
