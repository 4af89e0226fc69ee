"""Sets that fit into memory: all images as one uint8 tensor, augmented in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

import torch
from torch import Tensor

from asr_core.data.augment import Border, check_border, crop_and_flip
from asr_core.data.split import Split
from asr_core.errors import InputError


class MemorySplit(Split):
    """Images held as uint8, on the device of the batches.

    Args:
        images: uint8 (N, 3, H, W).
        labels: int64 (N,).
        padding: in training, how far an image may move to each side, in pixels.
        flip: in training, mirror half of the images.
        border: in training, what fills the pixels that a move uncovers: "black" or "reflect".

    Raises:
        InputError: another dtype or shape, not as many labels as images, or bad labels.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        padding: int = 4,
        flip: bool = True,
        border: Border = "black",
    ) -> None:
        super().__init__(labels)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                f"images must be uint8 (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
            )
        if len(images) != len(labels):
            raise InputError(f"{len(images)} images have {len(labels)} labels; give each one")
        check_border(border, padding, min(images.shape[2:]))
        self.images = images
        self.padding = padding
        self.flip = flip
        self.border = border

    def to(self, device: torch.device | str) -> Self:
        """The same split with its images on ``device``."""
        moved = super().to(device)
        moved.images = self.images.to(device)
        return moved

    def train_stream(self, requests: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Batches moved and mirrored at random (:func:`asr_core.data.augment.crop_and_flip`)."""
        for indices, draws in requests:
            images = self._at(indices)
            moved = crop_and_flip(
                images, draws, padding=self.padding, flip=self.flip, border=self.border
            )
            yield _unit(moved)

    def test_stream(self, requests: Iterable[Tensor]) -> Iterator[Tensor]:
        """Batches without augmentation."""
        for indices in requests:
            yield _unit(self._at(indices))

    def _at(self, indices: Tensor) -> Tensor:
        return self.images.index_select(0, indices.to(self.images.device))


def _unit(images: Tensor) -> Tensor:
    return images.float().div_(255)
