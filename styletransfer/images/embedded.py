"""Photographs that ship with scikit-image, split once: none both trains and tests.

Nothing is downloaded. Images are float32 tensors (3, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from asr_core import limits
from asr_core.data.photographs import photograph
from asr_core.registry import unknown_name

__all__ = [
    "HELD_OUT",
    "NATURAL",
    "TEXTURED",
    "TRAINING",
    "held_out",
    "photograph",
    "pool",
    "training_photographs",
]

NATURAL = ("rocket", "motorcycle_left", "motorcycle_right", "retina", "immunohistochemistry")
TEXTURED = (
    "camera", "coins", "moon", "cell", "page", "text", "brick", "grass", "gravel",
    "hubble_deep_field",
)  # fmt: skip
TRAINING = NATURAL + TEXTURED
"""Names of the photographs that may be used for training."""

_CROPS: dict[str, tuple[str, float, float, float]] = {
    # name: (photograph, centre row, centre column, side), as fractions of the shorter side's crop
    "astronaut": ("astronaut", 0.5, 0.5, 1.0),
    "astronaut-face": ("astronaut", 0.24, 0.44, 0.46),
    "cat": ("chelsea", 0.5, 0.5, 1.0),
    "cat-eye": ("chelsea", 0.45, 0.35, 0.5),
    "coffee": ("coffee", 0.5, 0.5, 1.0),
    "coffee-cup": ("coffee", 0.42, 0.46, 0.55),
}
HELD_OUT = tuple(_CROPS)
"""Names of the held-out pictures: three photographs, each whole and in close-up."""


def held_out(name: str, *, size: int = 256) -> Tensor:
    """One held-out picture, (3, size, size) in [0, 1]: a crop of astronaut, chelsea or coffee.

    Raises:
        InputError: the name is unknown, or ``size`` is below 16.
    """
    if name not in _CROPS:
        raise unknown_name("held-out picture", name, list(HELD_OUT))
    limits.whole("size", size, 16, limits.SIDE)
    source, row, column, fraction = _CROPS[name]
    image = photograph(source)
    height, width = image.shape[-2:]
    side = round(fraction * min(height, width))
    top = min(max(round(row * height - side / 2), 0), height - side)
    left = min(max(round(column * width - side / 2), 0), width - side)
    crop = image[:, top : top + side, left : left + side]
    return resize(crop, [size, size], antialias=True).clamp(0, 1)


def pool(*, size: int = 256) -> tuple[list[str], Tensor]:
    """The companions of batch noise: the training photographs, as (names, (P, 3, size, size))."""
    squares = [
        center_crop(resize(image, [size], antialias=True), [size, size]).clamp(0, 1)
        for image in map(photograph, TRAINING)
    ]
    return list(TRAINING), torch.stack(squares)


def training_photographs() -> list[Tensor]:
    """The training photographs, each (3, H, W) in [0, 1]; natural scenes come three times."""
    return [photograph(name) for name in TRAINING] + 2 * [photograph(name) for name in NATURAL]
