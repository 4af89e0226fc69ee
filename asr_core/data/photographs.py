"""Photographs and textures that ship with scikit-image and with foolbox."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr_core.data.images import decode
from asr_core.errors import InputError
from asr_core.registry import unknown_name

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass",
    "gravel", "hubble_deep_field", "immunohistochemistry", "moon", "motorcycle_left",
    "motorcycle_right", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Names of scikit-image's; the two motorcycles are a stereo pair."""

IMAGENET = tuple(
    f"imagenet_{number:02}_{label}"
    for number, label in enumerate((
        243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22,
        317, 305,
    ))
)  # fmt: skip
"""Names of foolbox's: ImageNet photographs, each with its number there and its class."""


def pixels(name: str) -> Tensor:
    """One photograph as uint8 (3, H, W); grey ones repeat their channel.

    Args:
        name: in :data:`PHOTOGRAPHS` or :data:`IMAGENET`.

    Raises:
        InputError: an unknown name, or a foolbox without its data.
    """
    if name in IMAGENET:
        return torch.from_numpy(decode(_of_foolbox(f"{name}.jpg"))).permute(2, 0, 1)
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


@functools.lru_cache(maxsize=64)
def photograph(name: str) -> Tensor:
    """One photograph as float32 (3, H, W) in [0, 1].

    It is cached: do not change it in place.

    Raises:
        InputError: as :func:`pixels`.
    """
    return pixels(name).float() / 255


def _of_foolbox(file: str) -> Path:
    # Only its folder is needed: importing it would take seconds.
    found = importlib.util.find_spec("foolbox")
    folders = [] if found is None else found.submodule_search_locations or []
    for folder in folders:
        if (path := Path(folder) / "data" / file).is_file():
            return path
    raise InputError(f"no photograph {file}: this foolbox comes without its data; install it again")
