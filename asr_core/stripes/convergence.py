"""How gates change from epoch to epoch, and when they have stopped (paper, appendix F)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from asr_core.errors import InputError

THRESHOLD = 0.05
"""A smaller change in an epoch, of a gate in [0, 1], counts as none."""
SHARE = 0.95


def differences(values: Tensor) -> Tensor:
    """|v_{t+1} − v_t| for ``values`` (T, ...) after each of T epochs: (T − 1, ...), from t = 1.

    Raises:
        InputError: fewer than two epochs.
    """
    if len(values) < 2:
        raise InputError(f"a difference needs two epochs; {len(values)} were recorded")
    return values.diff(dim=0).abs()


def settled_epochs(steps: Tensor, *, threshold: float = THRESHOLD) -> Tensor:
    """The epochs after which each value stays put, int64 (...), from its ``steps`` (T − 1, ...).

    The least t such that all differences from t on are below ``threshold``: 1 is from the first
    recorded epoch on, T never.

    Raises:
        InputError: a threshold that is not a number above 0.
    """
    if not (threshold > 0 and math.isfinite(threshold)):
        raise InputError(f"threshold {threshold} is not a number above 0")
    numbers = torch.arange(1, len(steps) + 1).reshape(-1, *[1] * (steps.ndim - 1))
    moving = steps >= threshold
    return (moving * numbers).amax(0) + 1


def settled_epoch(
    steps: Tensor, *, threshold: float = THRESHOLD, share: float = SHARE
) -> int | None:
    """The epochs after which ``share`` of the values have settled; None if not before the last.

    Raises:
        InputError: share or threshold out of range.
    """
    if not 0 < share <= 1:
        raise InputError(f"share {share} is not in (0, 1]")
    each = settled_epochs(steps, threshold=threshold).flatten().sort().values
    last = int(each[math.ceil(share * len(each)) - 1])
    return last if last <= len(steps) else None


def settled_share(steps: Tensor, epoch: int, *, threshold: float = THRESHOLD) -> float:
    """The share of values, in [0, 1], that have settled after ``epoch`` epochs."""
    return (settled_epochs(steps, threshold=threshold) <= epoch).double().mean().item()
