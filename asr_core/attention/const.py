"""The control: a gate frozen at its initial value, which learns nothing."""

from __future__ import annotations

from torch import Tensor

from asr_core.attention.base import ATTENTIONS, Attention


@ATTENTIONS.register("const")
class Const(Attention):
    """Gate = activation(ψ) with ψ a buffer: the effect of the initial scale, without attention.

    It has no parameters. As live attention it would be activation(GAP(x)).
    """

    learns = False

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        return self.activate(features.mean((2, 3), keepdim=True))
