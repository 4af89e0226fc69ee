"""Which BatchNorms of a model can be folded into the layer before them, found by ``torch.fx``."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn

from asr_core.errors import InputError
from asr_core.layers import kind_of
from asr_core.parity import evaluating

_BEFORE = ("conv", "conv transpose", "linear")


def conv_bn_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Names (conv, bn) for :func:`asr_core.fold_conv_bn`, in the order of the forward.

    A pair is a convolution or linear layer whose output goes to a BatchNorm on running statistics
    and nowhere else, each called once.

    Args:
        model: a plain model; its eval mode is traced, and it is not changed.

    Raises:
        InputError: the forward cannot be traced.
    """
    try:
        with evaluating(model):
            graph = fx.symbolic_trace(model).graph
    except Exception as error:  # whatever a forward does with a symbolic input
        raise InputError(
            f"cannot find the batch norms to fold: the forward of {type(model).__name__} cannot be "
            f"traced ({error}); name the pairs to fold_conv_bn, or do without folding"
        ) from error
    modules = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or not _is_norm(modules[node.target]):
            continue
        before = node.all_input_nodes[0]
        alone = before.op == "call_module" and len(before.users) == 1
        if alone and calls[before.target] == calls[node.target] == 1:
            layer = modules[before.target]
            kind = kind_of(layer)
            if kind is not None and kind.name in _BEFORE and type(layer) in kind.types:
                pairs.append((before.target, node.target))
    return pairs


def _is_norm(module: nn.Module) -> bool:
    """A stock BatchNorm: a subclass may do more than normalise."""
    kind = kind_of(module)
    named = kind is not None and kind.name == "batch norm" and type(module) in kind.types
    return named and getattr(module, "running_mean", None) is not None
