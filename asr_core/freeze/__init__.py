"""Freezing live attention: each gate becomes its mean over images, and is folded away.

::

    report = freeze_attention(model, (images for images, _ in loader))
    print(report)  # how constant each gate was, and which layers took its mean
    plain = report.plain
"""

from asr_core.freeze.constant import restore_frozen
from asr_core.freeze.freeze import freeze_attention
from asr_core.freeze.gates import GateSite, find_gates
from asr_core.freeze.report import FreezeReport, FrozenGate
from asr_core.freeze.statistics import GateStatistics, measure_gates

__all__ = [
    "FreezeReport",
    "FrozenGate",
    "GateSite",
    "GateStatistics",
    "find_gates",
    "freeze_attention",
    "measure_gates",
    "restore_frozen",
]
