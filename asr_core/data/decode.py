"""One image file to the square that a network sees, decoded no larger than needed.

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the square has no more pixels than that
(Pillow's draft mode): the ImageNet transforms without the cost of pixels that are averaged away.
As in torchvision, the EXIF orientation is not applied.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torchvision.transforms import RandomResizedCrop

TEST_RESIZE = 256 / 224
"""Shorter side of a resized test image to the side of the centre crop."""

_AREA, _ASPECT = [0.08, 1.0], [3 / 4, 4 / 3]

Box = tuple[float, float, float, float]


class UnreadableError(Exception):
    """A file that is no image, or a damaged one.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


class Sample(NamedTuple):
    """One image to decode.

    Attributes:
        path: the file.
        draw: the random number of its augmentation; None for tests.
    """

    path: str
    draw: int | None = None


def square(sample: Sample, size: int) -> NDArray[np.uint8]:
    """The (size, size, 3) pixels that a network sees of ``sample``.

    In training a random part, 8 to 100 % of the area and 3:4 to 4:3 in shape, mirrored or not:
    torchvision's ``RandomResizedCrop(size)`` and ``RandomHorizontalFlip()``. In tests the central
    square of the image resized by :data:`TEST_RESIZE`: ``Resize(256)`` and ``CenterCrop(224)``.

    Raises:
        UnreadableError: the file cannot be decoded.
    """
    with _opened(sample.path) as image:
        if sample.draw is None:
            return np.asarray(_resized(image, _central(image, size), size))
        box, mirrored = _random(image, sample.draw)
        resized = _resized(image, box, size)
        if mirrored:
            resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(resized)


def check(path: str) -> None:
    """Read the whole file, at the smallest size that its format allows.

    Raises:
        UnreadableError: it cannot be decoded.
    """
    with _opened(path) as image:
        image.draft("RGB", (1, 1))
        image.convert("RGB")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError(path, "empty, or not an image of a known format") from error
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(path, text) from error


def _random(image: Image.Image, draw: int) -> tuple[Box, bool]:
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.default_generator.manual_seed(draw)
        top, left, height, width = RandomResizedCrop.get_params(image, _AREA, _ASPECT)
        mirrored = bool(torch.rand(()) < 0.5)
    return (left, top, left + width, top + height), mirrored


def _central(image: Image.Image, size: int) -> Box:
    """The part that the centre crop of the resized image shows, rounded as in torchvision."""
    short, resized = min(image.size), round(size * TEST_RESIZE)
    edges: list[tuple[float, float]] = []
    for length in image.size:
        whole = resized * length // short
        start = round((whole - size) / 2)
        edges.append((start * length / whole, (start + size) * length / whole))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _resized(image: Image.Image, box: Box, size: int) -> Image.Image:
    width, height = image.size
    across, down = size / (box[2] - box[0]), size / (box[3] - box[1])
    image.draft("RGB", (math.ceil(width * across), math.ceil(height * down)))
    factors = image.size[0] / width, image.size[1] / height
    scaled = [min(edge * factors[i % 2], image.size[i % 2]) for i, edge in enumerate(box)]
    return image.convert("RGB").resize(
        (size, size), Image.Resampling.BILINEAR, box=(scaled[0], scaled[1], scaled[2], scaled[3])
    )
