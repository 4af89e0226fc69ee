"""How far an attack may move an image: a norm and its bound ε."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asr_core.errors import InputError
from asr_core.registry import unknown_name

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Budget:
    """Images within ``epsilon`` of the clean one, and in [0, 1].

    Args:
        norm: "linf" (the greatest change of a value) or "l2" (the root of the summed squares of
            all changes of an image).
        epsilon: the bound, for images in [0, 1]; 0 leaves images as they are.

    Raises:
        InputError: another norm, or a bound that is negative or not finite.
    """

    norm: str
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown_name("norm", self.norm, list(NORMS))
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise InputError(f"epsilon {self.epsilon} is not a finite number from 0 up")
        if self.norm == "linf" and self.epsilon > 1:
            raise InputError(
                f"epsilon {self.epsilon:g} is beyond the range of images in [0, 1]; for 8 grey "
                "levels of 255 give 8/255"
            )

    def step(self, gradient: Tensor, size: float) -> Tensor:
        """The move of length ``size`` that gains most, to first order: (N, C, H, W).

        An image whose gradient is 0 stays where it is.
        """
        if self.norm == "linf":
            return size * gradient.sign()
        # The greatest value is divided out first: squares of small gradients would be 0.
        gradient = gradient / _nonzero(gradient.abs().amax((1, 2, 3), keepdim=True))
        return size * gradient / _nonzero(_lengths(gradient))

    def project(self, moved: Tensor, clean: Tensor) -> Tensor:
        """The nearest images to ``moved`` within the budget around ``clean``, both (N, C, H, W)."""
        if self.norm == "linf":
            near = moved.clamp(clean - self.epsilon, clean + self.epsilon)
        else:
            change = moved - clean
            near = clean + change * (self.epsilon / _nonzero(_lengths(change))).clamp(max=1)
        # Moves every value towards the clean one or not at all, so the bound still holds.
        return near.clamp(0, 1)

    def random(self, clean: Tensor, draws: list[torch.Generator]) -> Tensor:
        """A start for each image, evenly from the ball of radius ε around it, then cut to [0, 1].

        Args:
            clean: images (N, C, H, W).
            draws: one generator on the CPU an image.
        """
        return (clean + torch.stack([self._change(clean[0], d) for d in draws])).clamp(0, 1)

    def _change(self, image: Tensor, draw: torch.Generator) -> Tensor:
        if self.norm == "linf":
            change = 2 * torch.rand(image.shape, generator=draw) - 1
        else:
            change = torch.randn(image.shape, generator=draw)
            radius = torch.rand((), generator=draw) ** (1 / image.numel())
            change *= radius / change.norm()
        return self.epsilon * change.to(image)


def _lengths(changes: Tensor) -> Tensor:
    return changes.flatten(1).norm(dim=1)[:, None, None, None]


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1)
