"""A control: a gate without attention, which learns nothing."""

from __future__ import annotations

from torch import Tensor

from asr_core.attention.base import ATTENTIONS, Attention


@ATTENTIONS.register("const")
class Const(Attention):
    """Gate = activation(ψ) with ψ a buffer: the effect of the initial scale, without attention.

    It has no parameters. As live attention it would be activation(GAP(x)).

    A constant scale s on a batch norm's γ and β is the plain norm started at s·γ and s·β, with the
    learning rate times s² under SGD, with momentum or without, and weight decay over s² (Ding et
    al., RepOptimizers, ICLR 2023); under Adam with the rate times s, and AdamW's decay and ε over
    s. Clipping by the norm of all gradients has no such equal.
    """

    learns = False

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of ``features`` (N, C, H, W)."""
        return self.activate(features.mean((2, 3), keepdim=True))
