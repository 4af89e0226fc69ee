"""Image files in folders that are named after their classes."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from asr_core.data.cut import cut
from asr_core.errors import InputError

_NAMED = 5


@dataclass(frozen=True, eq=False)
class ClassFiles:
    """Image files and their classes.

    Attributes:
        folder: what they were found in.
        classes: names of its subfolders, in alphabetical order.
        paths: the files, class by class, (N,).
        labels: index of each file's class, int64 (N,).
    """

    folder: Path
    classes: tuple[str, ...]
    paths: Sequence[str]
    labels: Tensor

    def at(self, places: Tensor) -> Self:
        """The files at ``places``, int64 (n,)."""
        paths = [self.paths[place] for place in places.tolist()]
        return replace(self, paths=paths, labels=self.labels[places])

    def cut(self, fraction: float) -> tuple[Self, Self]:
        """The files without ``fraction`` of each class, and that part (:func:`cut`)."""
        kept, taken = cut(self.labels, fraction)
        return self.at(kept), self.at(taken)

    def without(self, paths: Collection[str]) -> Self:
        """The files without ``paths``."""
        good = [place for place, path in enumerate(self.paths) if path not in paths]
        return self.at(torch.tensor(good, dtype=torch.int64))

    def check_classes(self, other: ClassFiles) -> None:
        """Refuse ``other`` files that are not of the same classes."""
        ours, theirs = set(self.classes), set(other.classes)
        if ours != theirs:
            raise InputError(
                f"{other.folder}: its classes are not those of {self.folder}: missing "
                f"{few(sorted(ours - theirs))}; unknown {few(sorted(theirs - ours))}"
            )


def read_classes(folder: Path) -> ClassFiles:
    """The classes of ``folder`` and their image files, subfolders included; hidden ones are not.

    Nothing is opened, so what is found need not be an image.

    Raises:
        InputError: fewer than two class folders, or one without image files.
    """
    classes = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if len(classes) < 2:
        named = f" ({classes[0]})" if classes else ""
        raise InputError(
            f"{folder}: {len(classes)} class folders{named}; there must be at least two, each with "
            "the images of one class"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    samples = make_dataset(folder, numbers, is_valid_file=_is_image, allow_empty=True)
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    counts = labels.bincount(minlength=len(classes)).tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise InputError(
            f"{folder}: no images in the class folders {few(empty)}; delete them or fill them "
            f"(with {' '.join(IMG_EXTENSIONS)})"
        )
    return ClassFiles(folder, tuple(classes), [path for path, _ in samples], labels)


def few(names: Sequence[str]) -> str:
    """The first of ``names`` and the number of the others, for messages."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more


def _is_image(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
