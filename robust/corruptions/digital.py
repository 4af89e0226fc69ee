"""Contrast, elastic transform, pixelate and JPEG compression."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from robust.corruptions.kinds import Draws, from_bytes, to_bytes, uniform


def contrast(images: Tensor, kept: float, draws: Draws) -> Tensor:
    """The distance from the mean of each channel times ``kept``."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + kept * (images - mean)


def elastic_transform(images: Tensor, figures: tuple[float, float, float], draws: Draws) -> Tensor:
    """An affine warp, then a smooth random displacement of each pixel, both bilinear.

    ``figures``: size and smoothness σ of the displacement, and ``shift`` of the warp, in fractions
    of the shorter side. The warp moves three corners of a square of two thirds of that side by up
    to ``shift`` in each direction. Outside, images are reflected about their outermost pixels, and
    in the displacement about their edges.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
    to visual document analysis" (2003).
    """
    height, width = images.shape[2:]
    side = min(height, width)
    size, sigma, shift = (figure * side for figure in figures)
    draw = 2 * uniform((6 + 2 * height * width,), draws) - 1
    grid = torch.stack(
        torch.meshgrid(
            torch.arange(width, dtype=torch.float64),
            torch.arange(height, dtype=torch.float64),
            indexing="xy",
        ),
        dim=-1,
    )  # (H, W, 2): column, row
    middle, reach = torch.tensor([width // 2, height // 2]).double(), side // 3
    corners = middle + reach * torch.tensor([[1, 1], [1, -1], [-1, -1]]).double()
    moved = corners + shift * draw[:, :6].view(-1, 3, 2)
    ones = torch.ones(len(images), 3, 1, dtype=torch.float64)
    back = torch.linalg.solve(torch.cat([moved, ones], dim=2), corners.expand_as(moved))
    places = grid.reshape(-1, 2) @ back[:, :2] + back[:, 2:]
    warped = _sample(images, places.view(-1, height, width, 2), about_pixels=True)
    if size == 0:
        return warped
    field = ndimage.gaussian_filter(
        draw[:, 6:].view(-1, height, width, 2).numpy(),
        sigma,
        mode="reflect",
        truncate=3,
        axes=(1, 2),
    )
    return _sample(warped, grid + size * torch.from_numpy(field), about_pixels=False)


def _sample(images: Tensor, places: Tensor, *, about_pixels: bool) -> Tensor:
    """``images`` at ``places`` (N, H, W, 2), column and row in pixels; reflected outside."""
    size = torch.tensor(images.shape[:1:-1], dtype=torch.float64)  # width, height
    # grid_sample counts from -1 to 1, between the outermost pixels' middles or their outer edges.
    unit = 2 * places / (size - 1) - 1 if about_pixels else (2 * places + 1) / size - 1
    return torch.nn.functional.grid_sample(
        images, unit, mode="bilinear", padding_mode="reflection", align_corners=about_pixels
    )


def pixelate(images: Tensor, scale: float, draws: Draws) -> Tensor:
    """Made smaller by ``scale`` and large again by Pillow, each a mean over boxes."""

    def shrink_and_grow(image: Image.Image) -> Image.Image:
        small = int(image.width * scale), int(image.height * scale)
        box = Image.Resampling.BOX
        return image.resize(small, box).resize(image.size, box)

    return _by_pillow(images, shrink_and_grow)


def jpeg_compression(images: Tensor, quality: int, draws: Draws) -> Tensor:
    """Written by Pillow as JPEG of ``quality`` (1 to 95) and read again."""

    def write_and_read(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _by_pillow(images, write_and_read)


def _by_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    pixels = to_bytes(images).permute(0, 2, 3, 1).numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])
    return from_bytes(torch.from_numpy(changed).permute(0, 3, 1, 2))
