"""Where a run computes."""

from __future__ import annotations

import torch

from asr_core.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device ``name`` ("cpu", "cuda", "cuda:1", "mps"), checked to be there.

    Raises:
        InputError: an unknown or absent device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend raises its own kind
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"device {name!r} cannot be used: {reason}; try --device cpu") from None
    return device
