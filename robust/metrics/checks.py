"""Checks of the images that a metric takes."""

from __future__ import annotations

import torch
from torch import Tensor

from asr_core.errors import InputError

TOLERANCE = 1e-5
"""How far outside [0, 1] a value may be: float round trips give values like -3e-8."""


def checked(images: Tensor, *, smallest: int = 1, name: str = "images") -> Tensor:
    """``images`` as float64 on the CPU, clamped to [0, 1]: equal numbers whatever the device.

    Args:
        images: (N, 3, H, W), floating point, in [0, 1].
        smallest: the smallest height and width that the metric can take.
        name: of the images, in messages.

    Raises:
        InputError: another shape or dtype, images too small, NaN, infinity, or values out of range.
    """
    shape = tuple(images.shape)
    if images.dim() != 4 or shape[1] != 3 or shape[0] == 0:
        raise InputError(f"{name} have shape {shape}. Expected (N, 3, H, W) with N at least 1")
    if min(shape[2:]) < smallest:
        raise InputError(f"{name} have shape {shape}. Height and width must be at least {smallest}")
    if not images.is_floating_point():
        raise InputError(f"{name} are {images.dtype}. Expected floating point in [0, 1]")
    values = images.detach().to("cpu", torch.float64, memory_format=torch.contiguous_format)
    if not values.isfinite().all():
        raise InputError(f"{name} hold {int((~values.isfinite()).sum())} NaN or infinite values")
    low, high = values.min().item(), values.max().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise InputError(f"{name} range from {low:g} to {high:g}. Expected [0, 1]: scale or clamp")
    return values.clamp(0, 1)


def checked_pair(images: Tensor, reference: Tensor, *, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """Both batches as by :func:`checked`.

    Raises:
        InputError: as there, or the two differ in shape.
    """
    if images.shape != reference.shape:
        raise InputError(
            f"images of shape {tuple(images.shape)} and reference of shape "
            f"{tuple(reference.shape)} cannot be compared: their shapes must be equal"
        )
    return (
        checked(images, smallest=smallest),
        checked(reference, smallest=smallest, name="reference images"),
    )


def luminance(images: Tensor) -> Tensor:
    """Rec. 709 luminance, (N, 3, H, W) -> (N, H, W), as in ``skimage.color.rgb2gray``."""
    weights = torch.tensor([0.2125, 0.7154, 0.0721], dtype=images.dtype)
    return torch.einsum("nchw,c->nhw", images, weights)
