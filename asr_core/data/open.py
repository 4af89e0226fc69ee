"""A data set by name, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path

from asr_core.data import embedded  # noqa: F401  registers its name
from asr_core.data.image_set import ImageSet
from asr_core.data.source import DATASETS, OnUnreadable, Source


def open_data(
    name_or_path: str,
    *,
    folder: Path | None = None,
    download: bool = False,
    image_size: int | None = None,
    on_unreadable: OnUnreadable = "stop",
    workers: int | None = None,
) -> ImageSet:
    """Open a data set. Its splits are fixed: the same images in every run and on every machine.

    Args:
        name_or_path: a name of :data:`DATASETS`.
        folder: where the files are.
        download: fetch the files that are missing.
        image_size: height and width of the batches.
        on_unreadable: see class folders.
        workers: processes that decode.
    """
    source = Source(
        folder=folder,
        download=download,
        image_size=image_size,
        on_unreadable=on_unreadable,
        workers=workers,
    )
    return DATASETS[name_or_path](source)
