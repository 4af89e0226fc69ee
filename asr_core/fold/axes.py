"""Whether a BatchNorm's channel axis is that of the layer before it; equal widths do not show it.

A BatchNorm's channels are axis 1. A convolution's are axis 1 of a batch but axis 0 of a single
sample, a linear layer's the last. If the classes do not decide, the number of axes does.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from asr_core.graph.activations import ACTIVATIONS
from asr_core.graph.forward import Forward
from asr_core.graph.ops import INERT

# The numbers of axes they take; a SyncBatchNorm takes any from 2.
_TAKES = ((nn.BatchNorm1d, {2, 3}), (nn.BatchNorm2d, {4}), (nn.BatchNorm3d, {5}))
_ANY = set(range(2, 10))
_KEEPING = INERT | ACTIVATIONS | {"sigmoid", "linear", "batchnorm"}
"""Steps whose output has as many axes as their input."""


def axes_of(layer: Any) -> int:
    """The number of axes of the output of ``layer`` if its channels are axis 1."""
    return 2 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 2


def possible_axes(layer: Any, bn: nn.Module) -> set[int]:
    """The possible numbers of axes between a layer and the BatchNorm after it."""
    takes = next((axes for kind, axes in _TAKES if isinstance(bn, kind)), _ANY)
    return takes & (_ANY if isinstance(layer, nn.Linear) else {axes_of(layer), axes_of(layer) - 1})


def flattened(forward: Forward, node: fx.Node) -> bool:
    """Whether the graph shows that ``node`` is (N, C): it comes from flatten(1)."""
    while forward.op(node) in _KEEPING and len(data := forward.data(node)) == 1:
        (node,) = data
    return forward.flattens(node)
