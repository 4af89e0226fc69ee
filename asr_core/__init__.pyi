from .asr.config import asr_config
from .asr.fuse import fuse_asr
from .asr.gate import Gate
from .asr.insert import insert_asr
from .asr.report import Position, Report
from .asr.stock_keys import load_stock_state_dict
from .attention import ATTENTIONS
from .errors import CheckpointError, InputError, ParityError, TargetError
from .fold.branches import merge_branches
from .fold.layer import fold_bn
from .fold.model import FoldReport, fold_model, fold_report
from .fold.norms import fold_conv_bn
from .freeze import FreezeReport, freeze_attention
from .placement import Placement, place
from .saving.saved_model import StockModel, load_model, save_model
from .verify.parity import ParityReport, check_parity

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
