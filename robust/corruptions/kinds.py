"""What a corruption is, and what all of them use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Draws = Sequence[torch.Generator]
"""One source of random numbers for each image of a batch."""

Corruption = Callable[[Tensor, Any, Draws], Tensor]
"""Images float64 (N, 3, H, W) in [0, 1], the figures of a severity and the draws of each image,
to images of the same shape, which may leave [0, 1]. An image's result depends on no other image.

Double precision, because the order of a sum may change with the size of the batch: what that does
to the last digit must not reach a grey level.
"""


def uniform(shape: Sequence[int], draws: Draws) -> Tensor:
    """Numbers ~ U(0, 1) for each image: float64 (N, *shape)."""
    return torch.stack([torch.rand(tuple(shape), generator=d, dtype=torch.float64) for d in draws])


def normal(shape: Sequence[int], draws: Draws) -> Tensor:
    """Numbers ~ N(0, 1) for each image: float64 (N, *shape)."""
    return torch.stack([torch.randn(tuple(shape), generator=d, dtype=torch.float64) for d in draws])


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, values outside cut off, rounded to the nearest grey level."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def from_bytes(images: Tensor) -> Tensor:
    """uint8 images as float64 in [0, 1]."""
    return images.double() / 255
