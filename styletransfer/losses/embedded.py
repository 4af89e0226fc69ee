"""The loss network that needs no download: random multi-scale filters and a mini-VGG."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import load_checkpoint, load_strictly
from styletransfer.losses.features import Features
from styletransfer.losses.mini_vgg import MiniVGG
from styletransfer.losses.random_filters import RandomFilters

WEIGHTS = Path(__file__).parent.parent / "weights" / "mini-vgg.safetensors"
"""The shipped mini-VGG; ``scripts/weights/loss_network.py`` makes it again."""

KIND = "mini-vgg"
_LUMA = (0.299, 0.587, 0.114)
_BANDS = 3


class EmbeddedLossNetwork(nn.Module):
    """Features for the content and style loss, from what ships with the package.

    Content: bands 1-3 of the luminance's Laplacian pyramid (Burt and Adelson 1983), each divided by
    its own RMS so that a pale picture weighs as much as a vivid one, and the mini-VGG's second
    stage, half each. Style: the random filters and all stages of the mini-VGG.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another kind.
    """

    name = "embedded (random filters + mini-VGG)"

    def __init__(self, weights: Path = WEIGHTS) -> None:
        super().__init__()
        self.filters = RandomFilters()
        tensors, meta = load_checkpoint(weights)
        if meta.get("kind") != KIND:
            raise CheckpointError(f"{weights}: of kind {meta.get('kind')!r}, not {KIND!r}")
        with torch.random.fork_rng(devices=[]):
            self.vgg = MiniVGG()
        state = {name: tensor.float() for name, tensor in tensors.items()}
        load_strictly(self.vgg, state, f"{weights}: not the weights of a mini-VGG")
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, *, style: bool = True) -> Features:
        """Features of images (N, 3, H, W) in [0, 1]; ``style=False`` skips the style's."""
        stages = self.vgg(images, stages=None if style else 2)
        content = [(0.5 / _BANDS, band) for band in laplacian_bands(images)]
        content.append((0.5, stages[1]))
        return Features(content, [*self.filters(images), *stages] if style else [])


def laplacian_bands(images: Tensor) -> list[Tensor]:
    """Bands 1-3 of the luminance's Laplacian pyramid, each with an RMS of one per image.

    (N, 3, H, W) -> (N, 1, H/2, W/2), (N, 1, H/4, W/4), (N, 1, H/8, W/8). Band 0, the finest, is
    left out: it is grain, which a style may replace.
    """
    luma = (images * images.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    levels = [luma]
    for _ in range(_BANDS + 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    bands = []
    for fine, coarse in pairwise(levels[1:]):
        up = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        band = fine - up
        rms = band.square().mean(dim=(1, 2, 3), keepdim=True).add(1e-6).sqrt()
        bands.append(band / rms)
    return bands
