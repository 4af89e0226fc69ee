"""Attention modules: features (N, C, H, W) -> gate (N, C, 1, 1), never ``x * gate``."""

from asr_core.attention.base import ACTIVATIONS, ATTENTIONS, Attention
from asr_core.attention.const import Const
from asr_core.attention.se import SE

__all__ = ["ACTIVATIONS", "ATTENTIONS", "SE", "Attention", "Const"]
