"""What an attack on style networks gives back."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from asr_core.errors import InputError
from robust.report.table import Table
from robust.style.folder import METRICS, AttackFolder
from robust.style.report import answers, table


@dataclass(frozen=True)
class AttackResult:
    """Numbers, the answer and the pictures of an attack; a notebook shows it as its table.

    Attributes:
        summary: means with 95 % intervals and verdicts, as in ``summary.json``.
        grid: some of the pictures, a row per network and noise.
        skipped: unreadable files in folders of images, and why.
        folder: that the run was written to; None for none.
        measurements: the text of ``metrics.csv`` where there is no folder.
    """

    summary: dict[str, Any]
    grid: Image.Image
    skipped: dict[str, str]
    folder: AttackFolder | None = None
    measurements: str = ""

    @property
    def table(self) -> Table:
        """The means: a row per norm variant, noise and severity."""
        return table(self.summary)

    @property
    def answers(self) -> dict[str, list[str]]:
        """Sentences that answer ``summary["question"]``, by situation (clean, attacked)."""
        return answers(self.summary)

    def frame(self) -> Any:
        """Every measurement as a pandas DataFrame, with the columns of ``metrics.csv``.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InputError("frame() needs pandas: pip install 'robust-asr[notebook]'") from None
        source = io.StringIO(self.measurements)
        return pandas.read_csv(
            source if self.folder is None else self.folder.path / METRICS,
            keep_default_na=False,
            na_values={"draw": [""], "value": ["nan"]},
        )

    def _repr_html_(self) -> str:
        return self.table.html()
