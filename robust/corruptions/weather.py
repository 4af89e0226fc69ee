"""Snow, frost, fog and brightness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robust.corruptions.blur import enlarged, streaked
from robust.corruptions.fields import TEXTURES, frost_texture, plasma
from robust.corruptions.kinds import Draws, from_bytes, normal, to_bytes, uniform

TEXTURE_SIDE = 768
"""Side of a frost texture in pixels, for images of up to half of it."""

_LUMA = (0.299, 0.587, 0.114)


def snow(
    images: Tensor, figures: tuple[float, float, float, float, int, float, float], draws: Draws
) -> Tensor:
    """Flakes blown downwards, and once more upside down, on a paler picture.

    ``figures``: mean and standard deviation of the flakes' brightness; their enlargement; the
    brightness from which they show; radius and σ of their motion blur in pixels
    (:func:`robust.corruptions.blur.motion_blur`); the share of the picture that does not pale.
    """
    mean, deviation, zoom, threshold, radius, sigma, kept = figures
    angles = 90 * uniform((), draws) - 135
    flakes = enlarged(mean + deviation * normal((1, *images.shape[2:]), draws), zoom)
    flakes = from_bytes(to_bytes(flakes.masked_fill(flakes < threshold, 0)))
    flakes = from_bytes(to_bytes(streaked(flakes, radius, sigma, angles=angles)))
    grey = (images * images.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    pale = images.maximum(grey * 1.5 + 0.5)
    return kept * images + (1 - kept) * pale + flakes + flakes.rot90(2, (2, 3))


def frost(images: Tensor, figures: tuple[float, float, float], draws: Draws) -> Tensor:
    """A piece of a frost texture laid over the picture: kept · x + added · texture.

    ``figures``: ``kept``, ``added``, and the scale of the texture. The textures are drawn by code
    (:func:`robust.corruptions.fields.frost_texture`), not the published photographs, so results
    of this kind cannot be compared with published ones. Tables say "frost: drawn".
    """
    kept, added, scale = figures
    height, width = images.shape[2:]
    side = max(round(TEXTURE_SIDE * scale), 2 * max(height, width))
    pieces = []
    for number, down, right in uniform((3,), draws).tolist():
        texture = frost_texture(int(number * TEXTURES), side)
        row, column = int(down * (side - height + 1)), int(right * (side - width + 1))
        pieces.append(texture[:, row : row + height, column : column + width])
    return kept * images + added * torch.stack(pieces)


def fog(images: Tensor, figures: tuple[float, float], draws: Draws) -> Tensor:
    """A cloud added to the picture, the sum scaled back to the picture's greatest value.

    ``figures``: thickness, and smoothness (:func:`robust.corruptions.fields.plasma`).
    """
    thickness, decay = figures
    height, width = images.shape[2:]
    side = 2 ** math.ceil(math.log2(max(height, width)))
    cloud = plasma(side, decay, draws)[:, None, :height, :width]
    greatest = images.amax((1, 2, 3), keepdim=True)
    return (images + thickness * cloud) * greatest / (greatest + thickness)


def brightness(images: Tensor, more: float, draws: Draws) -> Tensor:
    """``more`` added to the value V = max(R, G, B), hue and saturation kept: x · V' / V."""
    value = images.amax(1, keepdim=True)
    brighter = (value + more).clamp(max=1)
    # Black has no hue or saturation; it becomes grey.
    return torch.where(value > 0, images * brighter / value, brighter)
