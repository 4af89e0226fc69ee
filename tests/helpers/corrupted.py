"""Pictures to corrupt, and corrupting with little to write."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from asr_core.data.photographs import pixels
from robust.corruptions import corrupt

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "grass", "camera")


@functools.cache
def pictures(side: int, count: int = 6) -> Tensor:
    """Different photographs: uint8 (count, 3, side, side)."""
    cuts = []
    for k in range(count):
        cut = pixels(NAMES[k % 6])[None, :, k : 300 + k, :300].float()
        cuts.append(torch.nn.functional.interpolate(cut, size=side, mode="area")[0])
    return torch.stack(cuts).round().byte()


def plain(value: int, *, count: int = 1, side: int = 64) -> Tensor:
    """Pictures of one grey level."""
    return torch.full((count, 3, side, side), value, dtype=torch.uint8)


def corrupted(images: Tensor, kind: str, severity: int, table: str, *, seed: int = 0) -> Tensor:
    """Images in their order, as float64 in [0, 1]."""
    result = corrupt(images, kind, severity, indices=range(len(images)), seed=seed, table=table)
    return result.double() / 255


def unit(images: Tensor) -> Tensor:
    """The same form of the images themselves."""
    return images.double() / 255


def error(images: Tensor, kind: str, severity: int, table: str) -> float:
    """Mean squared change."""
    change = corrupted(images, kind, severity, table) - unit(images)
    return change.square().mean().item()
