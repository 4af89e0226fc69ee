"""A classification data set: three splits and what a model must know about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from asr_core.data.split import Split
from asr_core.errors import InputError


@dataclass(frozen=True)
class ImageSet:
    """Images in classes. Batches are in [0, 1]; the model normalises them.

    Attributes:
        name: the name under which the data set was opened.
        classes: the names; a label is an index into them.
        image_size: height and width of every batch, in pixels.
        mean: mean of each colour channel over the training images, in [0, 1].
        std: its standard deviation.
        train: images to learn from.
        validation: cut from the training images, disjoint from ``train``; for choices.
        test: for the final figure, never for choices.
        unreadable: files and links that were left out, with the reason.

    Raises:
        InputError: a label has no class.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    train: Split
    validation: Split
    test: Split
    unreadable: tuple[tuple[Path, str], ...] = ()

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            labels = getattr(self, split).labels
            if labels.max() >= self.num_classes:
                index = int(labels.argmax())
                raise InputError(
                    f"{self.name}: label {int(labels[index])} of {split} image {index} is out of "
                    f"range; there are {self.num_classes} classes, 0 to {self.num_classes - 1}"
                )

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def to(self, device: torch.device | str) -> Self:
        """The same set with its batches on ``device``."""
        splits = {name: getattr(self, name).to(device) for name in ("train", "validation", "test")}
        return replace(self, **splits)
