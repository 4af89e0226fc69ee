"""Photographs as textures of ``shapes``, apart for training and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asr_core.data.photographs import pixels

TRAIN = (
    "astronaut", "brick", "camera", "coffee", "coins", "grass", "immunohistochemistry",
    "motorcycle_left", "retina", "rocket",
    "imagenet_00_243", "imagenet_02_438", "imagenet_04_949", "imagenet_06_609", "imagenet_08_915",
    "imagenet_10_541", "imagenet_12_741", "imagenet_14_129", "imagenet_16_251", "imagenet_18_317",
)  # fmt: skip
TEST = (
    "cell", "chelsea", "gravel", "hubble_deep_field", "moon",
    "imagenet_01_559", "imagenet_03_990", "imagenet_05_853", "imagenet_09_455", "imagenet_11_630",
    "imagenet_13_471", "imagenet_15_99", "imagenet_17_22", "imagenet_19_305",
)  # fmt: skip
"""No photograph is in both; of two views of one thing, both are left out or in one part."""

SHRINKS = (1, 2)
"""By how much photographs are made smaller for pictures of 96 pixels; thrice that for 32."""

Pixels = NDArray[np.uint8]


def smaller(picture: Pixels, factor: int) -> Pixels:
    """Rounded means of ``factor`` × ``factor`` pixels: uint8 (3, H, W) -> (3, H', W')."""
    rows, columns = (side // factor for side in picture.shape[1:])
    whole = picture[:, : rows * factor, : columns * factor]
    sums = whole.reshape(3, rows, factor, columns, factor).sum((2, 4), dtype=np.int64)
    means: Pixels = ((2 * sums + factor**2) // (2 * factor**2)).astype(np.uint8)
    return means


def textures(photographs: tuple[str, ...], size: int) -> list[list[Pixels]]:
    """Each photograph at each scale for pictures of ``size`` pixels, uint8 (3, H, W)."""
    factors = [96 // size * shrink for shrink in SHRINKS]
    pictures = [pixels(name).numpy() for name in photographs]
    return [[smaller(picture, factor) for factor in factors] for picture in pictures]
