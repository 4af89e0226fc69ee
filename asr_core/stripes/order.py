"""The images and channels that a picture shows, and their order."""

from __future__ import annotations

import torch
from torch import Tensor

from asr_core.draws import generator
from asr_core.errors import InputError


def chosen(what: str, width: int, count: int, *, seed: int = 0) -> Tensor:
    """At most ``count`` of ``width`` indices in random order, int64.

    They depend on the arguments alone, so that all layers of one width, in all runs, show the same
    channels in the same order (paper, Fig. 17-23). ``what`` ("images", "channels") names the draws.

    Raises:
        InputError: a count or width below 1.
    """
    if width < 1 or count < 1:
        raise InputError(f"{count} {what} of {width}: at least 1 is needed")
    return torch.randperm(width, generator=generator("stripes", what, seed, width))[:count]
