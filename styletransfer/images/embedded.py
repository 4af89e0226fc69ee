"""Photographs that come with dependencies, split once: none of them both trains and tests.

Training takes scikit-image's, choices (a style's weight, the number of steps) are made on
``VALIDATION``, and ``HELD_OUT`` is for tests. The last two are ImageNet photographs that come with
foolbox. Nothing is downloaded. Images are float32 tensors (3, H, W) in [0, 1].
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
    "SEEN",
    "TEXTURED",
    "TRAINING",
    "UNSEEN",
    "VALIDATION",
    "held_out",
    "photograph",
    "pool",
    "source_of",
    "training_photographs",
    "validation",
]

NATURAL = ("rocket", "motorcycle_left", "motorcycle_right", "retina", "immunohistochemistry")
TEXTURED = (
    "camera", "coins", "moon", "cell", "page", "text", "brick", "grass", "gravel",
    "hubble_deep_field",
)  # fmt: skip
TRAINING = NATURAL + TEXTURED
"""Names of the photographs that may be used for training."""

_VALIDATION = {
    "bullmastiff": "imagenet_00_243",
    "deck-chairs": "imagenet_01_559",
    "laboratory": "imagenet_02_438",
    "chestnuts": "imagenet_03_990",
    "strawberries": "imagenet_04_949",
    "cottages": "imagenet_05_853",
    "jeep": "imagenet_06_609",
    "car": "imagenet_07_609",
}
_UNSEEN = {
    "yurt": "imagenet_08_915",
    "bottle-cap": "imagenet_09_455",
    "drum": "imagenet_10_541",
    "shoe": "imagenet_11_630",
    "windows": "imagenet_12_741",
    "cannon": "imagenet_13_471",
    "ibises": "imagenet_14_129",
    "geese": "imagenet_15_99",
    "dalmatian": "imagenet_16_251",
    "eagle": "imagenet_17_22",
    "treehopper": "imagenet_18_317",
    "beetle": "imagenet_19_305",
}
_SEEN = {"astronaut": "astronaut", "cat": "chelsea", "coffee": "coffee"}

VALIDATION = tuple(_VALIDATION)
"""Names of the photographs on which choices are made."""
SEEN, UNSEEN = tuple(_SEEN), tuple(_UNSEEN)
HELD_OUT = SEEN + UNSEEN
"""Names of the test pictures. ``SEEN`` were looked at while the recipe was found, so that figures
that others are to be compared with are taken on ``UNSEEN``."""


def source_of(name: str) -> str:
    """The name of the photograph behind a picture of ``HELD_OUT`` or ``VALIDATION``.

    Raises:
        InputError: an unknown name.
    """
    known = {**_SEEN, **_UNSEEN, **_VALIDATION}
    if name not in known:
        raise unknown_name("picture", name, list(known))
    return known[name]


def held_out(name: str, *, size: int = 256) -> Tensor:
    """One test picture, (3, size, size) in [0, 1]: the middle of a photograph.

    Raises:
        InputError: the name is unknown, or ``size`` is below 16.
    """
    if name not in HELD_OUT:
        raise unknown_name("held-out picture", name, list(HELD_OUT))
    return _square(photograph(source_of(name)), size)


def validation(*, size: int = 256) -> list[Tensor]:
    """The pictures of ``VALIDATION``, each (3, size, size) in [0, 1].

    Raises:
        InputError: ``size`` is below 16.
    """
    return [_square(photograph(source_of(name)), size) for name in VALIDATION]


def pool(*, size: int = 256) -> tuple[list[str], Tensor]:
    """The companions of batch noise: the training photographs, as (names, (P, 3, size, size))."""
    return list(TRAINING), torch.stack([_square(photograph(name), size) for name in TRAINING])


def training_photographs() -> list[Tensor]:
    """The training photographs, each (3, H, W) in [0, 1]; natural scenes come three times."""
    return [photograph(name) for name in TRAINING] + 2 * [photograph(name) for name in NATURAL]


def _square(image: Tensor, size: int) -> Tensor:
    limits.whole("size", size, 16, limits.SIDE)
    return center_crop(resize(image, [size], antialias=True), [size, size]).clamp(0, 1)
