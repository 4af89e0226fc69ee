"""Squeeze-and-Excitation (Hu et al. 2018, arXiv 1709.01507, eq. 2-3)."""

from __future__ import annotations

from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention, bottleneck


@ATTENTIONS.register("se")
class SE(Attention):
    """Gate = σ(W₂ relu(W₁ GAP(x) + b₁) + b₂): (N, C, H, W) -> (N, C, 1, 1)."""

    def __init__(self, channels: int, *, activation: str = "sigmoid", reduction: int = 16) -> None:
        super().__init__(channels, activation=activation)
        hidden = bottleneck(channels, reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        squeezed = features.mean((2, 3))
        logits = self.expand(self.reduce(squeezed).relu())
        return self.activate(logits)[:, :, None, None]
