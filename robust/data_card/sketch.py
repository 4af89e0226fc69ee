"""One pass over a part of a data set, whatever its size: all that its card needs of the images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from asr_core.data import Split
from robust.data_card.simple import Array, first_order

MOST = 20_000
"""Images of a part that are looked at; of more, evenly spaced ones."""
SIDE = 32
"""Larger images are made this small, but for their first-order numbers and their digests."""
NEAR_BITS, NEAR_RMS = 4, 0.05
"""Near duplicates differ in no more bits of their difference hash, and no more in their pixels."""
_AT_ONCE = 512


@dataclass(frozen=True)
class Sketch:
    """Of ``n`` images.

    Attributes:
        labels: int64 (n,).
        features: :func:`.simple.first_order`, (n, 7).
        small: float32 (n, 3, h, w) in [0, 1], h and w at most ``SIDE``.
        hashes: difference hashes, -1 and 1: float32 (n, 64).
        digests: of the pixels.
    """

    labels: Tensor
    features: Array
    small: Tensor
    hashes: Tensor
    digests: tuple[bytes, ...]


def sketch(split: Split) -> Sketch:
    """Look at the images of ``split``, at most ``MOST``."""
    n = len(split)
    chosen = torch.arange(min(n, MOST)) * n // min(n, MOST)
    small, features, digests = [], [], []
    for images in split.test_stream(chosen.split(_AT_ONCE)):
        images = images.cpu()
        features.append(torch.from_numpy(first_order(images)))
        height, width = images.shape[2:]
        small.append(F.adaptive_avg_pool2d(images, (min(height, SIDE), min(width, SIDE))))
        digests += [
            hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
            for image in (images * 255).round().to(torch.uint8)
        ]
    thumbnails = torch.cat(small)
    return Sketch(
        split.labels[chosen],
        torch.cat(features).numpy(),
        thumbnails,
        difference_hash(thumbnails),
        tuple(digests),
    )


def difference_hash(images: Tensor) -> Tensor:
    """Whether each of 8 × 8 places is darker than its right neighbour: -1 and 1, (n, 64)."""
    grey = F.adaptive_avg_pool2d(images.mean(1, keepdim=True), (8, 9))[:, 0]
    return torch.where(grey.diff(dim=2) > 0, 1.0, -1.0).flatten(1)


def duplicates(part: Sketch, other: Sketch) -> tuple[int, int]:
    """Images of ``part`` that are in ``other`` to the pixel; and those that are nearly."""
    known = set(other.digests)
    exact = torch.tensor([digest in known for digest in part.digests])
    near = torch.zeros(len(exact), dtype=torch.bool)
    bits = part.hashes.shape[1]
    for start in range(0, len(exact), _AT_ONCE):
        alike = part.hashes[start : start + _AT_ONCE] @ other.hashes.T >= bits - 2 * NEAR_BITS
        for pairs in alike.nonzero().split(_AT_ONCE):
            mine, theirs = pairs[:, 0] + start, pairs[:, 1]
            difference = part.small[mine] - other.small[theirs]
            close = difference.square().mean((1, 2, 3)).sqrt() <= NEAR_RMS
            near[mine[close]] = True
    return int(exact.sum()), int((near & ~exact).sum())
