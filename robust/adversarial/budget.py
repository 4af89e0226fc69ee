"""How far an attack may move an image: a norm and its bound ε."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asr_core.errors import InputError
from asr_core.registry import unknown_name

NORMS = ("linf", "l2")
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The dtypes of images that can be attacked."""


@dataclass(frozen=True)
class Budget:
    """Images within ``epsilon`` of the clean one, and in [0, 1].

    Args:
        norm: "linf" (the largest change of any value) or "l2" (the Euclidean length of an image's
            change).
        epsilon: the bound, for images in [0, 1]; 0 allows no change.

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
        """The step of length ``size`` that gains most to first order; 0 if the gradient is 0."""
        if self.norm == "linf":
            return size * gradient.sign()
        # Divided by the greatest value first, because squares of small gradients would be 0.
        gradient = gradient / _nonzero(gradient.abs().amax((1, 2, 3), keepdim=True))
        return size * gradient / _nonzero(_lengths(gradient))

    def project(self, moved: Tensor, clean: Tensor) -> Tensor:
        """The nearest images to ``moved`` within the budget around ``clean``, both (N, C, H, W).

        In ``clean``'s dtype; the bound holds to float32's rounding in every dtype.
        """
        origin, moved = widened(clean), widened(moved)
        if self.norm == "linf":
            near = moved.clamp(origin - self.epsilon, origin + self.epsilon)
        else:
            change = moved - origin
            near = origin + change * (self.epsilon / _nonzero(_lengths(change))).clamp(max=1)
        # Moves every value towards the clean one or not at all, so the bound still holds.
        return narrowed(near.clamp(0, 1), clean)

    def random(self, clean: Tensor, draws: list[torch.Generator]) -> Tensor:
        """A start for each image, uniform in the ball of radius ε around it, clipped to [0, 1].

        ``draws`` has one CPU generator per image.
        """
        origin = widened(clean)
        changes = torch.stack([self._change(origin[0], d) for d in draws])
        return narrowed((origin + changes).clamp(0, 1), clean)

    def _change(self, image: Tensor, draw: torch.Generator) -> Tensor:
        if self.norm == "linf":
            change = 2 * torch.rand(image.shape, generator=draw) - 1
        else:
            change = torch.randn(image.shape, generator=draw)
            radius = torch.rand((), generator=draw) ** (1 / image.numel())
            change *= radius / change.norm()
        return self.epsilon * change.to(image)


def widened(images: Tensor) -> Tensor:
    """In float32 at least: in 16 bits a bound is off by several percent."""
    return images.to(torch.promote_types(images.dtype, torch.float32))


def narrowed(moved: Tensor, clean: Tensor) -> Tensor:
    """``moved`` in the dtype of ``clean``, rounded towards it, so that the bound holds in any norm.

    Args:
        moved: images in [0, 1], (N, C, H, W).
        clean: the images before, in float16, bfloat16 or ``moved``'s dtype.
    """
    rounded = moved.to(clean.dtype)
    if rounded.dtype == moved.dtype:
        return rounded
    origin = clean.to(moved.dtype)
    beyond = (rounded.to(moved.dtype) - origin).abs() > (moved - origin).abs()
    # For numbers from 0 up, the next number has the next bit pattern.
    bits = rounded.abs().view(torch.int16)
    nearer = bits + (clean.abs().view(torch.int16) - bits).sign()
    return torch.where(beyond, nearer.view(clean.dtype), rounded)


def _lengths(changes: Tensor) -> Tensor:
    return changes.flatten(1).norm(dim=1)[:, None, None, None]


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1)
