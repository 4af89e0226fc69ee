"""Sparse filters: sums of shifted images.

A sum over the weights in a fixed order gives each pixel the same bits in any batch, and costs only
the weights that are not 0 (a disk of radius 1.5 in a 17×17 kernel has 21).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy import ndimage
from torch import Tensor

Weight = tuple[int, int, float]
"""Rows down, columns right, weight: where the value comes from, and what it counts."""


def filtered(images: Tensor, weights: Sequence[Weight], *, border: str) -> Tensor:
    """Each pixel of ``images`` (N, C, H, W) becomes the weighted sum of those the weights point to.

    ``border`` is "replicate" or "reflect", as in :func:`torch.nn.functional.pad`.
    """
    height, width = images.shape[2:]
    rows, columns = [0, *(each[0] for each in weights)], [0, *(each[1] for each in weights)]
    up, left = -min(rows), -min(columns)
    padded = torch.nn.functional.pad(images, (left, max(columns), up, max(rows)), mode=border)
    result = torch.zeros_like(images)
    for down, right, weight in weights:
        row, column = up + down, left + right
        result.add_(padded[:, :, row : row + height, column : column + width], alpha=weight)
    return result


def disk(radius: float, softening: float) -> list[Weight]:
    """The weights of a uniform disk whose edge is softened by a small Gaussian.

    The kernel is 17×17, larger for radii above 8. As in the published one the softening reflects at
    the kernel's border: radius 8 and 10 reach it, and their weights sum to 1.013 and 1.011, not 1.

    Args:
        radius: in pixels.
        softening: σ of the Gaussian in pixels, cut to 3×3 pixels (radius above 8: to 5×5).
    """
    reach, window = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    even = (steps[:, None] ** 2 + steps**2 <= radius**2).double()
    kernel = torch.from_numpy(
        ndimage.gaussian_filter(
            (even / even.sum()).numpy(), softening, mode="mirror", radius=window
        )
    )
    return [
        (row - reach, column - reach, kernel[row, column].item())
        for row, column in kernel.nonzero().tolist()
    ]


def streak(radius: int, sigma: float, degrees: float) -> list[Weight]:
    """The weights of a motion blur: half of a Gaussian along a line, of sum 1.

    2 · radius + 1 weights, a pixel apart in the direction ``degrees``, from right (0) to down (90),
    each at the nearest whole pixel, the first and heaviest one at the pixel itself: the definition
    of ImageMagick's motion blur.
    """
    down, right = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    steps = range(2 * radius + 1)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in steps]
    return [
        (math.ceil(step * down - 0.5), math.ceil(step * right - 0.5), weight / sum(weights))
        for step, weight in zip(steps, weights, strict=True)
    ]
