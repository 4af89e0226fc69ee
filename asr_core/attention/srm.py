"""Style-based recalibration (Lee et al. 2019, arXiv 1903.10829, eq. 1-5)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention, ChannelAffine


@ATTENTIONS.register("srm")
class SRM(Attention):
    """Gate = σ(BN(w ⊙ (mean, std))): (N, C, H, W) -> (N, C, 1, 1).

    Args:
        channels: C.
        activation: the last step of the gate.
        batch_norm: normalise over the batch. Without it only the affine part of that layer remains:
            ψ is a batch of one, with nothing to normalise over.
    """

    asr_options: ClassVar[dict[str, Any]] = {"batch_norm": False}

    def __init__(
        self, channels: int, *, activation: str = "sigmoid", batch_norm: bool = True
    ) -> None:
        super().__init__(channels, activation=activation)
        self.weight = nn.Parameter(torch.zeros(channels, 2))
        self.norm = nn.BatchNorm2d(channels) if batch_norm else ChannelAffine(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        style = torch.stack([features.mean((2, 3)), spatial_std(features)], dim=-1)
        logits = (style * self.weight).sum(-1)
        return self.activate(self.norm(logits[:, :, None, None]))


def spatial_std(features: Tensor) -> Tensor:
    """Biased standard deviation over the pixels: (N, C, H, W) -> (N, C).

    Zero with gradient zero, not NaN, where a channel is constant, as over a single pixel.
    """
    centred = features - features.mean((2, 3), keepdim=True)
    # torch.var takes many times as long on a CPU
    return torch.linalg.vector_norm(centred, dim=(2, 3)) / math.sqrt(features[0, 0].numel())
