"""Random crop and flip of a whole batch at once, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, draws: Tensor, *, padding: int, flip: bool) -> Tensor:
    """Each image moved by up to ``padding`` pixels, filled with black, and mirrored or not.

    The distribution is that of torchvision's ``RandomCrop(size, padding=padding)`` followed by
    ``RandomHorizontalFlip()``: (2·padding + 1)² places × 2, equally likely.

    Args:
        images: (N, C, H, W) of any dtype.
        draws: int64 (N,), uniform over a range far above the number of outcomes; each image's draw
            decides its place and mirroring.
        padding: in pixels.
        flip: mirror half of the images.

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
    padded = F.pad(images, [padding] * 4)
    # index_select copies whole rows, many times faster than indexing each pixel.
    starts = sources * channels + torch.arange(channels, device=device)[:, None]
    starts = starts * padded.shape[2] + draws % places + torch.arange(height, device=device)
    starts = starts * padded.shape[3] + draws // places % places
    rows = padded.flatten().unfold(0, width, 1)  # (every start of a row, W)
    return rows.index_select(0, starts.flatten()).view(count, channels, height, width)
