"""The largest numbers that input may have.

A mistyped number, or a hostile file, should cost a line of error and not the machine's memory. Each
limit is far above what this library's models and studies use.
"""

from __future__ import annotations

import math

from asr_core.errors import InputError

SEED = 2**63 - 1
"""The greatest seed of torch's generators; the least is its negative."""
FLOAT = 3e38
"""The range of float32; beyond it torch raises errors of many kinds."""
SIDE = 8192
"""Pixels of an image's side."""
SAMPLE = 2**22
"""Numbers in one sample that a file describes: 3 × 1182 × 1182 pixels."""
BATCH = 65_536
BATCH_NUMBERS = 2**31
"""Numbers in one batch of images: 8 GB in float32."""
CLASSES = 100_000
DELTA = 64
EPOCHS = 100_000
STEPS = 10_000_000
WIDTH = 512
"""Channels after a style network's first convolution."""
BLOCKS = 64
"""Residual blocks of a style network."""
STROKE_SIZES = (1 / 8, 2)
"""A style picture's shorter side over 512 pixels."""
STYLE_WEIGHT = 1e12
"""Of a style loss; public examples that don't normalise their losses have 1e10."""
REPEATS = 1000
ROUNDS = 10_000
WORKERS = 256
RUNS = 10_000
"""Training runs of a sweep, over all cells and seeds."""
PICTURED = 4096
"""Images, or channels, in a heat map."""


def whole(name: str, value: object, least: int, most: int) -> int:
    """``value`` where it is a whole number in [``least``, ``most``].

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")
    return value


def check_batch(batch_size: int, side: int) -> None:
    """Refuse batches of images (``batch_size``, 3, ``side``, ``side``) that no memory holds.

    Raises:
        InputError: ``batch_size`` or ``side`` is out of range, or their product.
    """
    whole("batch size", batch_size, 1, BATCH)
    whole("image size", side, 1, SIDE)
    if (numbers := math.prod((batch_size, 3, side, side))) > BATCH_NUMBERS:
        raise InputError(
            f"{batch_size} images of {side} × {side} are {numbers} numbers; at most "
            f"{BATCH_NUMBERS} go into one batch"
        )
