"""Photographs that ship with scikit-image, split for good: what trains never tests.

Nothing is downloaded. Images are float32 tensors (3, H, W) in [0, 1].
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from asr_core.errors import InputError
from asr_core.registry import unknown_name

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


@functools.lru_cache(maxsize=32)
def photograph(name: str) -> Tensor:
    """One embedded photograph, (3, H, W) in [0, 1]; grey ones repeat their channel.

    It is kept and shared by all callers: not to be changed in place.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    from skimage import data

    known = [*TRAINING, "astronaut", "chelsea", "coffee"]
    if name not in known:
        raise unknown_name("embedded photograph", name, known)
    if name.startswith("motorcycle"):
        left, right, _ = data.stereo_motorcycle()
        pixels = left if name.endswith("left") else right
    else:
        pixels = getattr(data, name)()
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255


def held_out(name: str, *, size: int = 256) -> Tensor:
    """One held-out picture, (3, size, size) in [0, 1]: a crop of astronaut, chelsea or coffee.

    Raises:
        InputError: the name is unknown, or ``size`` is below 16.
    """
    if name not in _CROPS:
        raise unknown_name("held-out picture", name, list(HELD_OUT))
    if size < 16:
        raise InputError(f"size {size} is too small; use at least 16 pixels")
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
