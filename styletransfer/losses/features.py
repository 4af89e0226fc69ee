"""What a loss network gives: features to compare with the content, and features of the style."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Features(NamedTuple):
    """Features of a batch, each (N, C, h, w); ``content`` carries a weight per entry."""

    content: list[tuple[float, Tensor]]
    style: list[Tensor]


class LossNetwork(Protocol):
    """A fixed network whose features perceptual losses compare."""

    name: str

    def __call__(self, images: Tensor, *, style: bool = True) -> Features:
        """Features of images (N, 3, H, W) in [0, 1]; ``style=False`` skips the style's."""
        ...
