"""Random crop and flip of a whole batch at once, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, draws: Tensor, *, padding: int, flip: bool) -> Tensor:
    """Each image moved by up to ``padding`` pixels, black coming in, and mirrored or not.

    The distribution is that of torchvision's ``RandomCrop(size, padding=padding)`` followed by
    ``RandomHorizontalFlip()``: (2·padding + 1)² places × 2, equally likely.

    Args:
        images: (N, C, H, W) of any dtype.
        draws: int64 (N,), uniform over a range far above the number of outcomes; each image's
            place and side are a function of its own draw.
        padding: in pixels.
        flip: mirror half of the images.

    Returns:
        (N, C, H, W), dtype and device of ``images``.
    """
    draws = draws.to(images.device)
    if padding:
        places = 2 * padding + 1
        rows, columns = draws % places, draws // places % places
        height, width = images.shape[-2:]
        windows = F.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(len(images), device=images.device), :, rows, columns]
        draws = draws // places**2
    if flip:
        mirrored = (draws % 2).bool()[:, None, None, None]
        images = torch.where(mirrored, images.flip(-1), images)
    return images
