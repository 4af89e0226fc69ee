"""Where a run computes."""

from __future__ import annotations

from typing import Literal

import torch

from asr_core.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device ``name`` ("auto", "cpu", "cuda", "cuda:1", "mps"), checked to be there.

    "auto" is the machine's accelerator, or else the CPU.

    Raises:
        InputError: an unknown or absent device.
    """
    if name == "auto":
        name = getattr(torch.accelerator.current_accelerator(check_available=True), "type", "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend raises its own kind
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"device {name!r} cannot be used: {reason}; try --device cpu") from None
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` is a CPU that multiplies bfloat16, at half of float32's time or less."""
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def accelerator_device(name: str) -> Literal["auto", "cpu"]:
    """``name`` as Accelerate takes it: an accelerator that is named becomes the current one.

    Raises:
        InputError: an unknown or absent device.
    """
    if name == "auto":
        return "auto"
    device = choose_device(name)
    if device.type == "cpu":
        return "cpu"
    if device.index is not None:
        torch.accelerator.set_device_index(device.index)
    return "auto"
