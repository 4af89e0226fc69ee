"""Defocus, glass, motion and zoom blur (:data:`robust.corruptions.kinds.Corruption`)."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from robust.corruptions.kinds import Draws, from_bytes, to_bytes, uniform
from robust.corruptions.sparse_filters import disk, filtered, streak


def defocus_blur(images: Tensor, figures: tuple[float, float], draws: Draws) -> Tensor:
    """A mean over a disk.

    ``figures``: its radius, and σ of the Gaussian that softens its edge, in pixels.
    """
    return filtered(images, _disk(*figures), border="reflect")


_disk = functools.cache(disk)


def glass_blur(images: Tensor, figures: tuple[float, int, int], draws: Draws) -> Tensor:
    """A Gaussian blur, pixels scattered over their neighbourhood, and the blur again.

    ``figures``: σ of the blur and the reach of the scattering, in pixels, and number of rounds.
    Pixels are visited from the last to the first. Each takes the value of a pixel up to ``reach``
    before it or ``reach`` - 1 after it in either direction. The published code intends a swap but
    writes the same value twice; its data sets were made like this.
    """
    sigma, reach, rounds = figures
    count, channels, height, width = images.shape
    soft = from_bytes(to_bytes(_gaussian(images, sigma)))
    rows, columns = (range(side - reach, reach, -1) for side in (height, width))
    moves = uniform((rounds, len(rows), len(columns), 2), draws).mul(2 * reach).long() - reach
    jumps = (moves[..., 0] * width + moves[..., 1]).flatten(1).T.contiguous().numpy()
    places = [row * width + column for row in rows for column in columns] * rounds
    source = np.arange(height * width)[:, None].repeat(count, axis=1)
    image = np.arange(count)
    for place, jump in zip(places, jumps, strict=True):
        source[place] = source[place + jump, image]
    index = torch.from_numpy(source.T.copy())[:, None].expand(-1, channels, -1)
    return _gaussian(soft.flatten(2).gather(2, index).view_as(images), sigma)


def _gaussian(images: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(
        ndimage.gaussian_filter(images.numpy(), sigma, mode="nearest", axes=(2, 3))
    )


def motion_blur(images: Tensor, figures: tuple[int, float], draws: Draws) -> Tensor:
    """Half of a Gaussian along a line, in a direction drawn from -45° to 45° off the right.

    ``figures``: radius and σ in pixels. The published generator calls ImageMagick; this filter has
    the same definition (:func:`robust.corruptions.sparse_filters.streak`) in double precision
    instead of 16 bits.
    """
    return streaked(images, *figures, angles=90 * uniform((), draws) - 45)


def streaked(images: Tensor, radius: int, sigma: float, *, angles: Tensor) -> Tensor:
    """Each image blurred along its own of ``angles`` (N,), in degrees from right to down (90)."""
    return torch.cat(
        [
            filtered(image[None], streak(radius, sigma, angle), border="replicate")
            for image, angle in zip(images, angles.tolist(), strict=True)
        ]
    )


def zoom_blur(images: Tensor, figures: tuple[float, int], draws: Draws) -> Tensor:
    """The mean of the image and of itself enlarged by 1, 1 + step, 1 + 2 · step, …

    ``figures``: the step, and the number of enlargements.
    """
    step, count = figures
    total = images.clone()
    for k in range(count):
        total += enlarged(images, 1 + k * step)
    return total / (count + 1)


def enlarged(images: Tensor, factor: float) -> Tensor:
    """The middle of each image, bilinearly enlarged to its size: (N, C, H, W) to the same.

    Like ``scipy.ndimage.zoom`` of order 1 on the cropped middle, then cropped to size.
    """
    size = images.shape[2:]
    # Rounded, because 1.1 * 10 is 11.000000000000002, whose ceiling is 12.
    inner = [min(side, math.ceil(round(side / factor, 9))) for side in size]
    outer = [round(side * factor) for side in inner]
    big = torch.nn.functional.interpolate(
        _middle(images, inner), size=outer, mode="bilinear", align_corners=True
    )
    return _middle(big, size)


def _middle(images: Tensor, size: list[int] | torch.Size) -> Tensor:
    top, left = ((whole - part) // 2 for whole, part in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]
