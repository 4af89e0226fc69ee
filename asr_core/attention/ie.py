"""Instance enhancement (Liang et al. 2020, arXiv 1908.04008, eq. 5)."""

from __future__ import annotations

from torch import Tensor

from asr_core.attention.base import ATTENTIONS, Attention, ChannelAffine


@ATTENTIONS.register("ie")
class IE(Attention):
    """Gate = σ(γ̂ ⊙ GAP(x) + β̂): (N, C, H, W) -> (N, C, 1, 1).

    As published, γ̂ starts at 0 and β̂ at −1, so every gate starts at σ(−1) = 0.27, and depends on
    the input as γ̂ grows.
    """

    def __init__(self, channels: int, *, activation: str = "sigmoid") -> None:
        super().__init__(channels, activation=activation)
        self.enhance = ChannelAffine(channels, weight=0.0, bias=-1.0)

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        return self.activate(self.enhance(features.mean((2, 3), keepdim=True)))
