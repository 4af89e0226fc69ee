"""Whether a BatchNorm's channels are those of the layer before it: equal widths are not equal axes.

A BatchNorm's channels are axis 1. A convolution's are axis 1 of a batch and axis 0 of one sample
without a batch, a linear layer's the last. So the number of axes decides, as far as the classes
leave it open.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from asr_core.graph.activations import ACTIVATIONS
from asr_core.graph.forward import Forward
from asr_core.graph.ops import INERT

# What they take; a SyncBatchNorm takes any number of axes from 2.
_TAKES = ((nn.BatchNorm1d, {2, 3}), (nn.BatchNorm2d, {4}), (nn.BatchNorm3d, {5}))
_ANY = set(range(2, 10))
_KEEPING = INERT | ACTIVATIONS | {"sigmoid", "linear", "batchnorm"}
"""Steps whose output has as many axes as their input."""


def axes_of(layer: Any) -> int:
    """How many axes the output of ``layer`` has when its channels are axis 1."""
    return 2 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 2


def possible_axes(layer: Any, bn: nn.Module) -> set[int]:
    """How many axes the value between a layer and the BatchNorm behind it may have."""
    takes = next((axes for kind, axes in _TAKES if isinstance(bn, kind)), _ANY)
    return takes & (_ANY if isinstance(layer, nn.Linear) else {axes_of(layer), axes_of(layer) - 1})


def flattened(forward: Forward, node: fx.Node) -> bool:
    """Whether the graph shows that ``node`` gives (N, C): it comes from flatten(1)."""
    while forward.op(node) in _KEEPING and len(data := forward.data(node)) == 1:
        (node,) = data
    return forward.flattens(node)
