"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost.

::

    report = insert_asr(model, "se")         # then build the optimizer, and train
    plain = fuse_asr(model, example=images)  # the stock model, v folded in
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr_core.asr.config import asr_config
    from asr_core.asr.fuse import fuse_asr
    from asr_core.asr.gate import Gate
    from asr_core.asr.insert import insert_asr
    from asr_core.asr.report import Position, Report
    from asr_core.asr.stock_keys import load_stock_state_dict
    from asr_core.attention import ATTENTIONS
    from asr_core.errors import CheckpointError, InputError, ParityError, TargetError
    from asr_core.fold.branches import merge_branches
    from asr_core.fold.layer import fold_bn
    from asr_core.fold.model import FoldReport, fold_model, fold_report
    from asr_core.fold.norms import fold_conv_bn
    from asr_core.freeze import FreezeReport, freeze_attention
    from asr_core.placement import Placement, place
    from asr_core.saving.saved_model import StockModel, load_model, save_model
    from asr_core.verify.parity import ParityReport, check_parity

__all__ = [
    "ATTENTIONS",
    "CheckpointError",
    "FoldReport",
    "FreezeReport",
    "Gate",
    "InputError",
    "ParityError",
    "ParityReport",
    "Placement",
    "Position",
    "Report",
    "StockModel",
    "TargetError",
    "asr_config",
    "check_parity",
    "fold_bn",
    "fold_conv_bn",
    "fold_model",
    "fold_report",
    "freeze_attention",
    "fuse_asr",
    "insert_asr",
    "load_model",
    "load_stock_state_dict",
    "merge_branches",
    "place",
    "save_model",
]

_MODULES = {
    "asr_config": "asr.config",
    "fuse_asr": "asr.fuse",
    "Gate": "asr.gate",
    "insert_asr": "asr.insert",
    "Position": "asr.report",
    "Report": "asr.report",
    "load_stock_state_dict": "asr.stock_keys",
    "ATTENTIONS": "attention",
    "CheckpointError": "errors",
    "InputError": "errors",
    "ParityError": "errors",
    "TargetError": "errors",
    "merge_branches": "fold.branches",
    "fold_bn": "fold.layer",
    "FoldReport": "fold.model",
    "fold_model": "fold.model",
    "fold_report": "fold.model",
    "fold_conv_bn": "fold.norms",
    "FreezeReport": "freeze",
    "freeze_attention": "freeze",
    "Placement": "placement",
    "place": "placement",
    "StockModel": "saving.saved_model",
    "load_model": "saving.saved_model",
    "save_model": "saving.saved_model",
    "ParityReport": "verify.parity",
    "check_parity": "verify.parity",
}


def __getattr__(name: str) -> Any:
    """The name, imported with torch on first use: errors and recipes are read without it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
