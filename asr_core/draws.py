"""Stateless random numbers: each is a function of the seed and its purpose.

The hash of a draw's parts (seed, layer, draw index, …) seeds a generator on the CPU, so the draw
does not depend on the device, the order of a batch, workers, or earlier draws.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from typing import SupportsIndex

import torch
from torch import Tensor

from asr_core import limits
from asr_core.errors import InputError

Key = SupportsIndex | str


def check_seed(seed: object) -> int:
    """``seed`` as an int.

    Raises:
        InputError: it is not a whole number, or not one of 64 bits.
    """
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex):
        raise InputError(f"seed {seed!r} is not a whole number")
    return limits.whole("seed", operator.index(seed), -limits.SEED, limits.SEED)


def keys_of(indices: Tensor | Sequence[Key], count: int) -> list[Key]:
    """The whole numbers or names in ``indices`` that the draws of ``count`` images follow.

    Raises:
        InputError: not one for each image, or one that is neither.
    """
    keys = indices.tolist() if isinstance(indices, Tensor) else list(indices)
    if len(keys) != count:
        raise InputError(f"{count} images have {len(keys)} indices; give each one")
    return [key if isinstance(key, str) else check_seed(key) for key in keys]


def generator(*parts: Key) -> torch.Generator:
    """A CPU generator seeded by the hash of ``parts``, whole numbers and strings."""
    plain = [part if isinstance(part, str) else operator.index(part) for part in parts]
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
