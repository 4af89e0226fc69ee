"""Image files in folders named after their classes."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from asr_core.data.folder.tree import LINK, files_below
from asr_core.data.stratify import cut
from asr_core.errors import InputError

Skip = tuple[Path, str]
"""A path that was left out, and the reason."""

_NAMED = 5


@dataclass(frozen=True, eq=False)
class ClassFiles:
    """Image files and their classes.

    Attributes:
        folder: the folder of the class folders.
        classes: names of its subfolders, in alphabetical order.
        paths: the files, class by class, (N,).
        labels: index of each file's class, int64 (N,).
        skipped: links and special files, with the reason.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: Sequence[str]
    labels: Tensor
    skipped: tuple[Skip, ...] = ()

    def at(self, places: Tensor) -> Self:
        """The files at ``places``, int64 (n,)."""
        paths = [self.paths[place] for place in places.tolist()]
        return replace(self, paths=paths, labels=self.labels[places])

    def cut(self, fraction: float) -> tuple[Self, Self]:
        """The files without ``fraction`` of each class, and that fraction (:func:`cut`)."""
        kept, taken = cut(self.labels, fraction)
        return self.at(kept), self.at(taken)

    def without(self, paths: Collection[str]) -> Self:
        """The files without ``paths``."""
        good = [place for place, path in enumerate(self.paths) if path not in paths]
        return self.at(torch.tensor(good, dtype=torch.int64))

    def check_classes(self, other: ClassFiles) -> None:
        """Refuse ``other`` files of other classes."""
        ours, theirs = set(self.classes), set(other.classes)
        if ours != theirs:
            raise InputError(
                f"{other.folder}: its classes are not those of {self.folder}: missing "
                f"{few(sorted(ours - theirs))}; unknown {few(sorted(theirs - ours))}"
            )


def read_classes(folder: Path) -> ClassFiles:
    """The classes of ``folder`` and their image files, also in subfolders, but not hidden ones.

    Files are chosen by name, not opened. No link is followed.

    Raises:
        InputError: fewer than two class folders, one without image files, or one that cannot be
            listed.
    """
    skipped: list[Skip] = []

    def skip(path: Path, reason: str) -> None:
        skipped.append((path, reason))

    classes = []
    for entry in os.scandir(folder):
        if entry.is_dir() and not entry.name.startswith("."):
            if entry.is_symlink():
                skip(Path(entry.path), LINK)
            else:
                classes.append(entry.name)
    classes.sort()
    if len(classes) < 2:
        named = f" ({classes[0]})" if classes else ""
        raise InputError(
            f"{folder}: {len(classes)} class folders{named}; there must be at least two, each with "
            f"the images of one class{_said(skipped)}"
        )
    images = [
        sorted(filter(_is_image, files_below(folder / name, on_skip=skip)), key=os.path.split)
        for name in classes
    ]
    empty = [name for name, paths in zip(classes, images, strict=True) if not paths]
    if empty:
        raise InputError(
            f"{folder}: no images in the class folders {few(empty)}; delete them or fill them "
            f"(with {' '.join(IMG_EXTENSIONS)}){_said(skipped)}"
        )
    counts = torch.tensor([len(paths) for paths in images])
    labels = torch.arange(len(classes)).repeat_interleave(counts)
    every = [path for paths in images for path in paths]
    return ClassFiles(folder, tuple(classes), every, labels, tuple(skipped))


def told(skipped: Sequence[Skip]) -> str:
    """The first of ``skipped`` with their reasons, for messages."""
    return few([f"{path} ({reason})" for path, reason in skipped])


def _said(skipped: Sequence[Skip]) -> str:
    return f"; left out: {told(skipped)}" if skipped else ""


def few(names: Sequence[str]) -> str:
    """The first of ``names``, and how many more there are, for messages."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more


def _is_image(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
