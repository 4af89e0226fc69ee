"""The progress of a run, and the results of its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from asr_core import limits
from asr_core.errors import CheckpointError, InputError
from asr_core.saving.files import write_csv
from asr_core.saving.schema import Number, PlainRecord, record

if TYPE_CHECKING:
    from asr_core.training.learner import Figures

METRICS, TIMING = "metrics.csv", "timing.csv"

COLUMNS = (
    "epoch", "lr",
    "train_loss", "train_top1", "train_top5",
    "validation_loss", "validation_top1", "validation_top5",
)  # fmt: skip
TIMING_COLUMNS = ("epoch", "seconds", "images_per_second", "validation_seconds")


def _with(columns: tuple[str, ...]) -> AfterValidator:
    def check(row: dict[str, float]) -> dict[str, float]:
        if missing := [name for name in columns if name not in row]:
            raise ValueError(f"missing: {', '.join(missing)}")
        return row

    return AfterValidator(check)


Row = Annotated[dict[str, Number], _with(COLUMNS)]
TimingRow = Annotated[dict[str, Number], _with(TIMING_COLUMNS)]


@record
@dataclass
class History(PlainRecord):
    """The position of a run, running sums of the current epoch, and rows of the finished ones.

    Attributes:
        epoch: the current epoch, from 0.
        step: number of its finished steps.
        loss: sum over its images, like ``top1`` and ``top5``.
        images: number of its images so far.
        seconds: time of its steps so far.
        rows: a row of ``metrics.csv`` for each finished epoch, with the learning rate of the last
            step and shares in [0, 1]; those of training are running ones.
        timing: rows of ``timing.csv``, which, unlike ``rows``, a resumed run does not repeat bit
            for bit.
    """

    epoch: Annotated[int, Field(ge=0, le=limits.EPOCHS)] = 0
    step: Annotated[int, Field(ge=0)] = 0
    loss: Number = 0.0
    top1: Number = 0.0
    top5: Number = 0.0
    images: Annotated[int, Field(ge=0)] = 0
    seconds: Number = 0.0
    rows: list[Row] = field(default_factory=list)
    timing: list[TimingRow] = field(default_factory=list)
    _read: ClassVar[dict[str, Any]] = {
        "where": "the history",
        "error": CheckpointError,
        "complete": True,
    }

    def __post_init__(self) -> None:
        for name, rows, columns in (
            ("rows", self.rows, COLUMNS),
            ("timing", self.timing, TIMING_COLUMNS),
        ):
            if [tuple(row) for row in rows] != [columns] * self.epoch:
                raise InputError(f"{name} are not {', '.join(columns)} of {self.epoch} epochs")

    def add(self, figures: Figures, *, images: int, seconds: float) -> None:
        """Count a step."""
        self.step += 1
        self.loss += figures.loss
        self.top1 += figures.top1
        self.top5 += figures.top5
        self.images += images
        self.seconds += seconds

    def end_epoch(
        self, *, lr: float, validation: Mapping[str, float], validation_seconds: float
    ) -> Row:
        """Finish the epoch with the figures (loss, top1, top5) of the validation split."""
        row: Row = {"epoch": self.epoch, "lr": lr}
        for name in ("loss", "top1", "top5"):
            row[f"train_{name}"] = getattr(self, name) / self.images
            row[f"validation_{name}"] = validation[name]
        self.rows.append({column: row[column] for column in COLUMNS})
        self.timing.append(
            {
                "epoch": self.epoch,
                "seconds": self.seconds,
                "images_per_second": self.images / self.seconds,
                "validation_seconds": validation_seconds,
            }
        )
        self.epoch += 1
        self.step = self.images = 0
        self.loss = self.top1 = self.top5 = self.seconds = 0.0
        return self.rows[-1]

    @property
    def best(self) -> Row:
        """The row with the greatest top-1 on validation, the first of equals."""
        return max(self.rows, key=lambda row: row["validation_top1"])

    def write(self, folder: Path) -> None:
        """Write ``metrics.csv`` and ``timing.csv``, each atomically."""
        write_csv(folder / METRICS, COLUMNS, _cells(COLUMNS, self.rows, "{!r}"))
        write_csv(folder / TIMING, TIMING_COLUMNS, _cells(TIMING_COLUMNS, self.timing, "{:.6g}"))


def _cells(columns: tuple[str, ...], rows: list[Row], number: str) -> list[list[Any]]:
    """The cells of a table: whole epochs, all else formatted by ``number``."""
    return [
        [int(row["epoch"]), *(number.format(row[column]) for column in columns[1:])] for row in rows
    ]
