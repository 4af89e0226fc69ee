"""Photographs and textures that ship with scikit-image."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from asr_core.registry import unknown_name

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass",
    "gravel", "hubble_deep_field", "immunohistochemistry", "moon", "motorcycle_left",
    "motorcycle_right", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Their names; the two motorcycles are a stereo pair."""


def pixels(name: str) -> Tensor:
    """One photograph as uint8 (3, H, W); grey ones repeat their channel.

    Raises:
        InputError: an unknown name.
    """
    from skimage import data

    if name not in PHOTOGRAPHS:
        raise unknown_name("embedded photograph", name, list(PHOTOGRAPHS))
    if name.startswith("motorcycle"):
        left, right, _ = data.stereo_motorcycle()
        values = left if name.endswith("left") else right
    else:
        values = getattr(data, name)()
    values = np.asarray(values)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return torch.from_numpy(values[..., :3].copy()).permute(2, 0, 1)


@functools.lru_cache(maxsize=32)
def photograph(name: str) -> Tensor:
    """One photograph as float32 (3, H, W) in [0, 1].

    It is cached: do not change it in place.

    Raises:
        InputError: as :func:`pixels`.
    """
    return pixels(name).float() / 255
