"""The stripe observation: a channel's attention is nearly the same for every image.

::

    values, refused = gate_values(model, [images])  # name of the layer -> (N, C)
    print({name: stripe_score(gate) for name, gate in values.items()})
"""

from asr_core.stripes.convergence import differences, settled_epoch, settled_share
from asr_core.stripes.order import chosen
from asr_core.stripes.record import AttentionRecord, load_record, save_record
from asr_core.stripes.recorder import RECORDED_IMAGES, AttentionRecorder
from asr_core.stripes.spatial import spatial_attention
from asr_core.stripes.spread import Spread, permuted, spread, typical
from asr_core.stripes.values import gate_values, gate_vectors, require_gates, stripe_score

__all__ = [
    "RECORDED_IMAGES",
    "AttentionRecord",
    "AttentionRecorder",
    "Spread",
    "chosen",
    "differences",
    "gate_values",
    "gate_vectors",
    "load_record",
    "permuted",
    "require_gates",
    "save_record",
    "settled_epoch",
    "settled_share",
    "spatial_attention",
    "spread",
    "stripe_score",
    "typical",
]
