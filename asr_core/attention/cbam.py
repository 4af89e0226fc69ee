"""Convolutional block attention (Woo et al. 2018, arXiv 1807.06521, eq. 2-3)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention, bottleneck


@ATTENTIONS.register("cbam")
class CBAM(Attention):
    """Channel gate times spatial gate: (N, C, H, W) -> (N, C, H, W).

    Args:
        channels: C.
        activation: the last step of each of the two gates.
        reduction: C over the width of the hidden layer.
        spatial: include the spatial half, which depends on the input. Without it the gate is the
            channel half, (N, C, 1, 1).
    """

    asr_options: ClassVar[dict[str, Any]] = {"spatial": False}

    def __init__(
        self,
        channels: int,
        *,
        activation: str = "sigmoid",
        reduction: int = 16,
        spatial: bool = True,
    ) -> None:
        super().__init__(channels, activation=activation)
        hidden = bottleneck(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False) if spatial else None

    def forward(self, features: Tensor) -> Tensor:
        """Gate of ``features`` (N, C, H, W)."""
        channel = self.channel_gate(features)
        if self.spatial is None:
            return channel
        refined = features * channel
        pooled = torch.stack([refined.mean(1), refined.amax(1)], dim=1)
        return channel * self.activate(self.spatial(pooled))

    def channel_gate(self, features: Tensor) -> Tensor:
        """σ(MLP(average pool) + MLP(maximum pool)): (N, C, H, W) -> (N, C, 1, 1)."""
        pools = torch.stack([features.mean((2, 3)), features.amax((2, 3))])
        logits = self.expand(self.reduce(pools).relu()).sum(0)
        return self.activate(logits)[:, :, None, None]
