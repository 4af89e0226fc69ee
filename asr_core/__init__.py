"""Attention-alike structural re-parameterisation (ASR): attention at no inference cost.

::

    report = insert_asr(model, "se")         # then build the optimizer, and train
    plain = fuse_asr(model, example=images)  # the stock model, v folded in
"""

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
