"""Which images and channels a picture shows, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from asr_core.draws import generator
from asr_core.errors import InputError


def chosen(what: str, width: int, count: int, *, seed: int = 0) -> Tensor:
    """``count`` of ``width`` things in random order, int64 (min(count, width),).

    A function of the arguments alone, so that all layers of one width, in all runs, show the same
    channels in the same order (paper, Fig. 17-23).

    Args:
        what: "images" or "channels", say: each has draws of its own.
        width: how many there are.
        count: how many to show, at most.
        seed: any whole number.

    Raises:
        InputError: a count or width below 1.
    """
    if width < 1 or count < 1:
        raise InputError(f"{count} {what} of {width}: at least 1 is needed")
    return torch.randperm(width, generator=generator("stripes", what, seed, width))[:count]
