"""Random fields: the plasma of fog, and textures like frost on a window."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from asr_core.draws import generator
from robust.corruptions.kinds import Draws, uniform

TEXTURES = 5
"""How many frost textures there are."""

_DRAWN = 1024
"""Side in pixels of a frost texture before it is scaled."""


def plasma(side: int, decay: float, draws: Draws) -> Tensor:
    """A periodic cloud for each image by the diamond-square algorithm, float64 (N, side, side).

    Points half-way between known ones are their mean plus noise; each halving divides the noise by
    ``decay`` squared. Values are stretched to [0, 1].

    Args:
        side: a power of two.
        decay: 1 for rough, 3 for smooth.
        draws: one for each field.

    Source: Fournier, Fussell and Carpenter, "Computer rendering of stochastic models" (1982).
    """
    noise = 2 * uniform((side * side,), draws) - 1
    field = torch.zeros(len(draws), side, side, dtype=torch.float64)
    step, used, size = side, 0, 1.0

    def halfway(neighbours: Tensor) -> Tensor:
        nonlocal used
        count = neighbours[0].numel()
        fresh = noise[:, used : used + count].view_as(neighbours)
        used += count
        return neighbours / 4 + size * fresh

    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        rows = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = centres = halfway(rows + rows.roll(-1, 2))
        sides = corners + corners.roll(-1, 2)  # the two corners that an edge joins
        field[:, ::step, half::step] = halfway(sides + centres + centres.roll(1, 1))
        field[:, half::step, ::step] = halfway(rows + centres + centres.roll(1, 2))
        step, size = half, size / decay**2
    field -= field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True)


@functools.lru_cache(maxsize=2 * TEXTURES)
def frost_texture(number: int, side: int) -> Tensor:
    """A texture like frost on a window, float64 (3, side, side) in [0, 1], drawn by code.

    Bluish white veins (where a cloud crosses its middle level) over a haze. Mean (0.6) and standard
    deviation (0.13) are about those of photographs of frost, which the published corruption uses.
    ``number`` is below TEXTURES. The result is cached: do not change it in place.
    """
    haze = plasma(_DRAWN, 1.5, [generator("frost", number, "haze")])[0]
    clouds = plasma(_DRAWN // 4, 1.4, [generator("frost", number, "veins", k) for k in range(3)])
    middle = clouds.flatten(1).median(1).values[:, None, None]
    veins = (1 - 8 * (clouds - middle).abs()).clamp(min=0).amax(0).tile(4, 4)
    light = 0.42 + 0.3 * (haze - haze.mean()) + 0.35 * veins * (0.5 + haze)
    tint = torch.tensor([0.92, 1.0, 1.06], dtype=torch.float64)[:, None, None]
    texture = torch.nn.functional.interpolate(
        (light * tint)[None], size=(side, side), mode="bilinear", antialias=True
    )
    return texture[0].clamp(0, 1)
