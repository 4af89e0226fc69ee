"""The run folder: every file in it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from PIL import Image

from asr_core.errors import InputError
from asr_core.saving.exclusive import contents, exclusive
from asr_core.saving.files import atomic_path, write_json

METRICS, SUMMARY, RUN, GRID = "metrics.csv", "summary.json", "run.json", "grid.png"
FILES = (METRICS, SUMMARY, RUN, GRID)


class RunFolder:
    """A folder that a run writes to.

    Args:
        path: made with the first file, when missing.
        overwrite: whether files of an earlier run may be replaced; others are never touched.

    Raises:
        InputError: the folder is not empty and ``overwrite`` is false, or it is a file.
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._check()

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; --out names a folder")
        if self.path.exists() and contents(self.path) and not self._overwrite:
            raise InputError(f"{self.path} exists already; choose another --out, or --overwrite")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder for this process alone.

        Raises:
            InputError: another process holds it, or has filled it since.
        """
        with exclusive(self.path):
            self._check()
            yield

    @contextlib.contextmanager
    def measurements(self) -> Iterator[TextIO]:
        """A text file that becomes ``metrics.csv`` when the block ends well; else it goes."""
        with (
            atomic_path(self.path / METRICS) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            yield file

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``."""
        write_json(self.path / SUMMARY, summary)

    def write_run(self, facts: dict[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.path / RUN, facts)

    def write_grid(self, grid: Image.Image) -> None:
        """Write ``grid.png``."""
        with atomic_path(self.path / GRID) as temporary:
            grid.save(temporary)
