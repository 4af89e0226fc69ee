"""Spatial pyramid attention (Guo et al. 2020, "SPANet", ICME, sec. 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention, bottleneck

GRIDS = (4, 2, 1)


@ATTENTIONS.register("spa")
class SPA(Attention):
    """Gate = σ(W₂ relu(W₁ pyramid(x))): (N, C, H, W) -> (N, C, 1, 1).

    The pyramid holds the averages over 4×4, 2×2 and 1×1 grids, 21 values per channel.
    """

    def __init__(self, channels: int, *, activation: str = "sigmoid", reduction: int = 16) -> None:
        super().__init__(channels, activation=activation)
        hidden = bottleneck(channels, reduction)
        cells = sum(grid * grid for grid in GRIDS)
        self.reduce = nn.Linear(channels * cells, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        pyramid = torch.cat(
            [nn.functional.adaptive_avg_pool2d(features, grid).flatten(1) for grid in GRIDS], dim=1
        )
        logits = self.expand(self.reduce(pyramid).relu())
        return self.activate(logits)[:, :, None, None]
