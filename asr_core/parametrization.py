"""The mechanism: a layer's tensors as parametrizations that multiply by the gate's v.

The layer owns its gate once, as the child ``asr``. The parametrizations refer to it from a tuple,
which registers nothing, so the state dict holds the gate once and a deepcopy of the layer refers
to the copy's gate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.gate import Gate
from asr_core.layers import Slot


class Scale(nn.Module):
    """The parametrization: a tensor times the v of a gate along the slot's axis."""

    def __init__(self, gate: Gate, slot: Slot) -> None:
        super().__init__()
        self._gate = (gate,)
        self.slot = slot

    def forward(self, original: Tensor) -> Tensor:
        """The effective tensor."""
        return self.slot.scaled(original, self._gate[0].scale())


def hold(layer: Any, args: Any) -> None:
    """Forward pre-hook: one v for all reads in this forward."""
    if not torch.compiler.is_compiling():
        layer.asr.hold()


def release(layer: Any, args: Any, output: Any) -> None:
    """Forward hook, also called after an exception."""
    layer.asr.release()


def attach(layer: nn.Module, gate: Gate, slots: list[Slot]) -> None:
    """Give ``layer`` the gate and parametrize its tensors by it."""
    gate.order = tuple(layer._parameters)  # type: ignore[assignment]
    layer.add_module("asr", gate)
    for slot in slots:
        parametrize.register_parametrization(layer, slot.tensor, Scale(gate, slot))
    layer.register_forward_pre_hook(hold)
    layer.register_forward_hook(release, always_call=True)


def detach(layer: Any, parameters: dict[str, Tensor]) -> None:
    """Undo :func:`attach`, with ``parameters`` in the place of the parametrized ones.

    The generated class is left as it is: copies of the layer share it.
    """
    gate: Gate = layer.asr
    taken: dict[str, nn.Parameter | None] = dict(layer._parameters)
    for name, value in parameters.items():
        original = layer.parametrizations[name].original
        taken[name] = nn.Parameter(value.detach(), requires_grad=original.requires_grad)
    order: tuple[str, ...] = gate.order  # type: ignore[assignment]
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer._modules["parametrizations"]
    del layer._modules["asr"]
    layer._parameters.clear()
    for name in [*order, *(name for name in taken if name not in order)]:
        layer._parameters[name] = taken[name]
    for hooks, ours in ((layer._forward_pre_hooks, hold), (layer._forward_hooks, release)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            layer._forward_hooks_always_called.pop(key, None)
