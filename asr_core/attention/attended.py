"""Features multiplied by live attention on themselves, as a module."""

from __future__ import annotations

from torch import Tensor, nn

from asr_core.attention.base import Attention


class Attended(nn.Module):
    """x × attention(x), with the channels along ``axis`` 1, (N, C, H, W), or -1, (N, T, C)."""

    def __init__(self, attention: Attention, axis: int) -> None:
        super().__init__()
        self.attention = attention
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as ``x``; tokens count as the pixels of a column."""
        if self.axis == 1:
            return x * self.attention(x)
        return x * self.attention(x.mT[..., None]).squeeze(-1).mT
