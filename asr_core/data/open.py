"""Opens a data set by its name, or a folder."""

from __future__ import annotations

from pathlib import Path

from asr_core.data import (
    embedded,  # noqa: F401
    torchvision_sets,  # noqa: F401
)
from asr_core.data.folder import layouts  # noqa: F401
from asr_core.data.image_set import ImageSet
from asr_core.data.shapes import open as shapes  # noqa: F401
from asr_core.data.source import DATASETS, OnUnreadable, Source
from asr_core.errors import InputError
from asr_core.registry import unknown_name


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
        name_or_path: a name of :data:`DATASETS`, or a folder of class folders
            (:func:`asr_core.data.folder.layouts.open_folder`).
        folder: where the files of the named set are, or will be; "embedded" has none.
        download: fetch missing files (CIFAR10, CIFAR100, STL10).
        image_size: height and width of the batches; None for the set's own (224 for files). Only
            sets of files come in other sizes.
        on_unreadable: what to do about image files that cannot be decoded. "stop": raise InputError
            when a batch needs one. "skip": read every file now, leave those out, and warn with
            their number and names.
        workers: processes that decode files; None for one per processor, 0 for none.

    Raises:
        InputError: an unknown name; missing or damaged files, or another layout, with the expected
            one; an empty split; a size that the set does not have.
    """
    name = name_or_path
    if name not in DATASETS:
        if not Path(name).is_dir():
            error = unknown_name("data set", name, DATASETS.names())
            raise InputError(f"{error}; nor is it a folder")
        if folder is not None:
            raise InputError(f"{name} is a folder itself; leave out the folder {folder}")
        name, folder = "folder", Path(name)
    source = Source(
        folder=folder,
        download=download,
        image_size=image_size,
        on_unreadable=on_unreadable,
        workers=workers,
    )
    return DATASETS[name](source)
