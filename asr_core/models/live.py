"""Live attention at chosen layers of any traceable model: y × attention(y)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import fx, nn

from asr_core.asr.layers import LayerKind, gated_layer, kind_of
from asr_core.attention import ATTENTIONS, Attended
from asr_core.errors import InputError, TargetError
from asr_core.graph.forward import Forward
from asr_core.graph.trace import trace

CHILD = "attention"


def add_attention(model: nn.Module, names: Iterable[str], attention: str) -> fx.GraphModule:
    """A model that multiplies the named layers' outputs by live attention on them.

    The attention modules follow the layers in the traced forward, as children of "attention". The
    layers are those of ``model``, with their names, so the state dict has all keys of the plain
    model.

    Args:
        model: a model without ASR, which torch.fx can trace.
        names: dotted names of layers with outputs (N, C, H, W), or (N, T, C) where the channels
            are the last axis; the ``out_proj`` of a MultiheadAttention means its output.
        attention: name in :data:`asr_core.attention.ATTENTIONS`.

    Raises:
        InputError: an unknown attention module, or "dia", which needs one cell per stage.
        TargetError: the model cannot be traced, a layer is not called in its forward, or the
            model has an attribute "attention".
    """
    if attention == "dia":
        raise InputError("'dia' shares one cell among a stage's blocks: only the ResNets have it")
    if hasattr(model, CHILD):
        raise TargetError(f"the model has an attribute {CHILD!r} of its own")
    make = ATTENTIONS[attention]
    forward = Forward(model, trace(model))
    attended = fx.GraphModule(model, forward.nodes[0].graph, type(model).__name__)
    added = nn.ModuleDict()
    attended.add_module(CHILD, added)
    missing = dict.fromkeys(names)
    for node in list(attended.graph.nodes):
        layer = forward.layer(node)
        name = gated_layer(layer, forward.modules[layer])[0] if layer else ""
        if name not in missing:
            continue
        del missing[name]
        key = name.replace(".", "_")
        kind = cast(LayerKind, kind_of(forward.modules[name]))
        added[key] = Attended(make(kind.channels(forward.modules[name])), kind.axis)
        output = node
        if name != layer:  # the first of attention's outputs
            output = next(user for user in node.users if user.args[1] == 0)
        with attended.graph.inserting_after(output):
            product = attended.graph.call_module(f"{CHILD}.{key}", (output,))
        output.replace_all_uses_with(product)
        product.args = (output,)  # which was replaced as well
    if missing:
        raise TargetError(f"no layer {next(iter(missing))!r} is called in the model's forward")
    attended.recompile()
    return attended
