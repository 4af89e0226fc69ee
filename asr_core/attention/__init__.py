"""Attention modules: features (N, C, H, W) -> gate (N, C, 1, 1), never ``x * gate``."""

from asr_core.attention.attended import Attended
from asr_core.attention.base import ATTENTIONS, Attention
from asr_core.attention.cbam import CBAM
from asr_core.attention.const import Const
from asr_core.attention.dia import DIA
from asr_core.attention.eca import ECA
from asr_core.attention.ie import IE
from asr_core.attention.se import SE
from asr_core.attention.spa import SPA
from asr_core.attention.srm import SRM

__all__ = [
    "ATTENTIONS",
    "CBAM",
    "DIA",
    "ECA",
    "IE",
    "SE",
    "SPA",
    "SRM",
    "Attended",
    "Attention",
    "Const",
]
