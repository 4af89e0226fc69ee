"""Efficient channel attention (Wang et al. 2020, arXiv 1910.03151, eq. 9 and 12)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention


def kernel_size(channels: int) -> int:
    """Number of neighbours of a channel: |log₂(C) / 2 + 1 / 2|, rounded up to odd (eq. 12)."""
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


@ATTENTIONS.register("eca")
class ECA(Attention):
    """Gate = σ(conv1d_k(GAP(x))) along the channels: (N, C, H, W) -> (N, C, 1, 1)."""

    def __init__(self, channels: int, *, activation: str = "sigmoid") -> None:
        super().__init__(channels, activation=activation)
        size = kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        logits = self.conv(features.mean((2, 3))[:, None, :])[:, 0, :]
        return self.activate(logits)[:, :, None, None]
