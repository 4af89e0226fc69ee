"""Random crop and flip of a whole batch at once, on any device."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from asr_core.errors import InputError
from asr_core.registry import unknown_name

Border = Literal["black", "reflect"]
"""What fills the pixels beyond an image: nothing, or the image mirrored at its edge."""


def check_border(border: str, padding: int, side: int) -> None:
    """Refuse a padding that images with this shortest ``side`` cannot have.

    Raises:
        InputError: an unknown border, a padding below 0, or too few pixels to mirror.
    """
    if border not in get_args(Border):
        raise unknown_name("border", border, list(get_args(Border)))
    if padding < 0:
        raise InputError(f"padding {padding} is below 0")
    if border == "reflect" and padding >= side:
        raise InputError(
            f"padding {padding} cannot mirror images of {side} pixels; at most {side - 1}"
        )


def crop_and_flip(
    images: Tensor, draws: Tensor, *, padding: int, flip: bool, border: Border = "black"
) -> Tensor:
    """Each image moved by up to ``padding`` pixels, and mirrored or not.

    The distribution is that of torchvision's ``RandomCrop(size, padding=padding)``, whose
    ``padding_mode`` is "constant" or "reflect", followed by ``RandomHorizontalFlip()``:
    (2·padding + 1)² places × 2, equally likely.

    Args:
        images: (N, C, H, W) of any dtype.
        draws: int64 (N,), uniform over a range far above the number of outcomes; each image's draw
            decides its place and mirroring.
        padding: in pixels.
        flip: mirror half of the images.
        border: what fills the pixels that the move uncovers. Black, the published recipes' choice,
            moves the statistics of training batches away from those of test images.

    Returns:
        (N, C, H, W), dtype and device of ``images``.
    """
    count, channels, height, width = images.shape
    device, places = images.device, 2 * padding + 1
    draws = draws.to(device)[:, None, None]
    sources = torch.arange(count, device=device)[:, None, None]
    if flip:
        images = torch.cat([images, images.flip(-1)])
        sources = sources + draws // places**2 % 2 * count
    mode = "constant" if border == "black" else border
    padded = F.pad(images, [padding] * 4, mode=mode)
    # index_select copies whole rows, many times faster than indexing each pixel.
    starts = sources * channels + torch.arange(channels, device=device)[:, None]
    starts = starts * padded.shape[2] + draws % places + torch.arange(height, device=device)
    starts = starts * padded.shape[3] + draws // places % places
    rows = padded.flatten().unfold(0, width, 1)  # (every start of a row, W)
    return rows.index_select(0, starts.flatten()).view(count, channels, height, width)
