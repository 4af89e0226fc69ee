"""Where the values of a layer's gates differ: between channels, or between images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asr_core.draws import generator
from asr_core.errors import InputError

TRIMMED = 0.05
"""The share of images that robust figures leave out."""


@dataclass(frozen=True)
class Spread:
    """How the gates of a layer, (N, C), differ.

    Attributes:
        deviation: standard deviation of a channel's gate over images, averaged over channels; in
            units of the gate. 0 is a perfect stripe.
        eta2: η², the share of all variance that lies between channels: 1 is a perfect stripe, and
            1 / (1 + stripe score) in general. None where all values are equal.
    """

    deviation: float
    eta2: float | None


def spread(values: Tensor) -> Spread:
    """The :class:`Spread` of gates (N, C).

    Raises:
        InputError: another shape, or fewer than two images.
    """
    gates = checked(values)
    within = gates.var(0, correction=0)
    between = gates.mean(0).var(correction=0).item()
    whole = within.mean().item() + between
    # Equal gates can differ by float32's rounding.
    floor = (torch.finfo(torch.float32).eps * gates.abs().max().item()) ** 2
    return Spread(within.sqrt().mean().item(), between / whole if whole > floor else None)


def typical(values: Tensor, share: float = TRIMMED) -> Tensor:
    """The gates (N, C) without the ``share`` of images farthest from the others; at least two stay.

    An image is as far as its gates are from each channel's median, squared and summed. A few odd
    images can carry most of the variance.

    Raises:
        InputError: as :func:`spread`, or a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise InputError(f"a share of {share} images cannot be left out; from 0 to below 1 can")
    gates = checked(values)
    kept = max(2, len(gates) - math.ceil(share * len(gates)))
    far = (gates - gates.median(0).values).square().sum(1)
    return values[far.argsort(stable=True)[:kept].sort().values]


def permuted(values: Tensor, *, seed: int = 0) -> Tensor:
    """The gates (N, C) with the channels of each image in a random order of its own.

    What is left of η² comes from chance: about 1 / N where images are alike.

    Raises:
        InputError: as :func:`spread`.
    """
    checked(values)
    chance = generator("permuted", seed)
    order = torch.rand(values.shape, generator=chance).argsort(1)
    return values.gather(1, order)


def checked(values: Tensor) -> Tensor:
    """Gates (N, C) in float64.

    Raises:
        InputError: another shape, or fewer than two images.
    """
    if values.ndim != 2 or len(values) < 2:
        raise InputError(
            f"gates are (N, C), with at least two images to compare; got {tuple(values.shape)}"
        )
    return values.double()
