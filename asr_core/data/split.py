"""Labelled images by index; :mod:`asr_core.data.order` decides their order."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Self

import torch
from torch import Tensor

from asr_core.data.augment import Border
from asr_core.errors import InputError

_DRAWS = 1 << 62


def sample_draws(count: int, generator: torch.Generator) -> Tensor:
    """A random whole number for each sample, int64 (count,), the source of all its randomness."""
    return torch.randint(_DRAWS, (count,), generator=generator)


class Split(ABC):
    """Images and their classes, for training or for tests.

    Batches are float32 (n, 3, H, W) in [0, 1] on ``device``. The random choices for a sample
    depend on its draw alone (:func:`sample_draws`): not on the device, on the rest of the batch,
    or on the number of workers.

    Args:
        labels: int64 (N,), each at least 0; kept on the CPU.

    Attributes:
        border: what fills the pixels that augmentation uncovers when it moves an image.
        labels: class of each image, int64 (N,), on the CPU.
        device: device of the batches.

    Raises:
        InputError: ``labels`` are empty, negative, or of another shape or dtype.
    """

    border: Border = "black"

    def __init__(self, labels: Tensor) -> None:
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise InputError(f"labels must be int64 (N,), got {labels.dtype} {tuple(labels.shape)}")
        if not len(labels):
            raise InputError("there are no images in the split")
        if labels.min() < 0:
            index = int(labels.argmin())
            raise InputError(f"label {int(labels[index])} of image {index} is negative")
        self.labels = labels
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Self:
        """The same split with its batches on ``device``."""
        moved = copy.copy(self)
        moved.device = torch.device(device)
        return moved

    def test_batch(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` (n,), without augmentation."""
        return next(self.test_stream([indices]))

    @abstractmethod
    def train_stream(self, requests: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """An augmented batch for each of ``requests``, (indices, draws), both int64 (n,).

        Requests may be read ahead.
        """

    @abstractmethod
    def test_stream(self, requests: Iterable[Tensor]) -> Iterator[Tensor]:
        """A batch without augmentation for each of ``requests``, indices (n,)."""
