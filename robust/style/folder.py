"""The folder of an attack: every file in it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from PIL import Image

from asr_core.saving.files import atomic_folder, atomic_path, write_json
from asr_core.saving.run_folder import RunFolder

METRICS, SUMMARY, RUN, GRID = "metrics.csv", "summary.json", "run.json", "grid.png"
PICTURES = "pictures"
FILES = (GRID, METRICS, SUMMARY, RUN)
"""What every run leaves, beside the folder :data:`PICTURES`."""


@dataclass(frozen=True)
class AttackFolder(RunFolder):
    """The folder of an attack; the files of an overwritten one stay until new ones replace them."""

    result = RUN

    @contextlib.contextmanager
    def measurements(self) -> Iterator[TextIO]:
        """A text file that becomes ``metrics.csv`` when the block ends without an exception."""
        with (
            atomic_path(self.path / METRICS) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            yield file

    def pictures(self) -> AbstractContextManager[Path]:
        """A folder whose files move into ``pictures`` when the block ends without an exception."""
        return atomic_folder(self.path / PICTURES)

    def write(self, summary: dict[str, Any], facts: dict[str, Any], grid: Image.Image) -> None:
        """Write ``summary.json``, ``run.json`` and ``grid.png``."""
        write_json(self.path / SUMMARY, summary)
        write_json(self.path / RUN, facts)
        with atomic_path(self.path / GRID) as temporary:
            grid.save(temporary)
