"""The draws of noise: :mod:`asr_core.draws`, and uniform numbers from them."""

from __future__ import annotations

import torch
from torch import Tensor

from asr_core.draws import Key, check_seed, generator

__all__ = ["Key", "check_seed", "generator", "uniform"]


def uniform(low: float, high: float, size: int, draw: torch.Generator) -> Tensor:
    """``size`` numbers ~ U(low, high), float64 on the CPU."""
    return low + (high - low) * torch.rand(size, generator=draw, dtype=torch.float64)
