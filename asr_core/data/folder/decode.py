"""One image file to the square that a network sees, decoded no larger than needed.

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if the square has no more pixels (Pillow's draft
mode): the ImageNet transforms without the cost of pixels that are averaged away. Unlike in
torchvision, pictures are upright (EXIF orientation), and deep greyscale keeps its tones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from asr_core.data.images import opened, rgb, upright_size

TEST_RESIZE = 256 / 224
"""Shorter side of a resized test image over the side of the centre crop."""

_AREA, _ASPECT = [0.08, 1.0], [3 / 4, 4 / 3]

Box = tuple[float, float, float, float]
Size = tuple[int, int]
"""Width and height."""


class Sample(NamedTuple):
    """One image to decode.

    Attributes:
        path: the file.
        draw: the random number for its augmentation; None for tests.
    """

    path: str
    draw: int | None = None


def square(sample: Sample, size: int) -> NDArray[np.uint8]:
    """The (size, size, 3) pixels of ``sample`` that a network sees.

    In training, a random part of 8 to 100 % of the area and 3:4 to 4:3 in shape, mirrored or not:
    torchvision's ``RandomResizedCrop(size)`` and ``RandomHorizontalFlip()``. In tests, the central
    square of the image resized by :data:`TEST_RESIZE`: ``Resize(256)`` and ``CenterCrop(224)``.

    Raises:
        ImageError: the file cannot be decoded.
    """
    with opened(sample.path) as image:
        whole, mirrored = upright_size(image), False
        if sample.draw is None:
            box = _central(whole, size)
        else:
            box, mirrored = _random(whole, sample.draw)
        resized = _resized(sample.path, image, whole, box, size)
        if mirrored:
            resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(resized)


def check(path: str) -> None:
    """Read the whole file, at the smallest size that its format allows.

    Raises:
        ImageError: it cannot be decoded.
    """
    with opened(path) as image:
        image.draft("RGB", (1, 1))
        rgb(path, image)


def _random(whole: Size, draw: int) -> tuple[Box, bool]:
    width, height = whole
    shape = torch.empty((1, height, width), device="meta")  # torchvision reads only its shape
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.default_generator.manual_seed(draw)
        top, left, height, width = RandomResizedCrop.get_params(shape, _AREA, _ASPECT)
        mirrored = bool(torch.rand(()) < 0.5)
    return (left, top, left + width, top + height), mirrored


def _central(whole: Size, size: int) -> Box:
    """The part in the centre crop of the resized image, rounded as in torchvision."""
    short, resized = min(whole), round(size * TEST_RESIZE)
    edges: list[tuple[float, float]] = []
    for length in whole:
        scaled = resized * length // short
        start = round((scaled - size) / 2)
        edges.append((start * length / scaled, (start + size) * length / scaled))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _resized(path: str, image: Image.Image, whole: Size, box: Box, size: int) -> Image.Image:
    width, height = whole
    across, down = size / (box[2] - box[0]), size / (box[3] - box[1])
    wanted = math.ceil(width * across), math.ceil(height * down)
    image.draft("RGB", wanted if image.size == whole else wanted[::-1])  # a JPEG may be rotated
    picture = rgb(path, image)
    factors = picture.size[0] / width, picture.size[1] / height
    scaled = [min(edge * factors[i % 2], picture.size[i % 2]) for i, edge in enumerate(box)]
    return picture.resize(
        (size, size), Image.Resampling.BILINEAR, box=(scaled[0], scaled[1], scaled[2], scaled[3])
    )
