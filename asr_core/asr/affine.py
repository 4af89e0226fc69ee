"""γ and β for norms without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from asr_core.asr.layers import LayerKind, kind_of, lacks_scale
from asr_core.asr.parametrization import gate_of
from asr_core.errors import InputError

_MARK = "has_created_affine"
"""Attribute of a norm with parameters that the stock model's norm lacks."""


def like(model: nn.Module, layer: nn.Module) -> Tensor:
    """A tensor of the dtype and on the device that ``layer`` of ``model`` computes in."""
    tensors = [*layer.parameters(), *layer.buffers(), *model.parameters()]
    return next((t for t in tensors if t.is_floating_point()), torch.empty(0))


def new_affine(model: nn.Module, layer: nn.Module, kind: LayerKind) -> dict[str, nn.Parameter]:
    """Those of γ = 1 and β = 0, frozen, that the norm ``layer`` of ``model`` lacks."""
    names = [slot.tensor for slot in kind.slots(layer)]
    beside = like(model, layer)
    return {
        name: nn.Parameter(
            torch.full(
                (kind.channels(layer),),
                1.0 if name == "weight" else 0.0,
                dtype=beside.dtype,
                device=beside.device,
            ),
            requires_grad=False,
        )
        for name in names
        if getattr(layer, name, None) is None
    }


def add_affine(layer: nn.Module, kind: LayerKind, created: Mapping[str, nn.Parameter]) -> None:
    """Give ``layer`` the ``created`` parameters."""
    for name, parameter in created.items():
        layer.register_parameter(name, parameter)
    setattr(layer, _MARK, True)
    setattr(layer, kind.affine, True)


def with_created_affine(model: nn.Module) -> list[str]:
    """Names of the norms whose γ and β were created for a gate that is fused by now."""
    marked = ((name, m) for name, m in model.named_modules() if _MARK in m.__dict__)
    return [name for name, m in marked if (gate := gate_of(m)) is None or not gate.position.created]


def create_affine(model: nn.Module, names: Iterable[str]) -> None:
    """Give the norms called ``names`` γ = 1 and β = 0, frozen, in place.

    Raises:
        InputError: a name is not that of a norm without them.
    """
    modules = dict(model.named_modules())
    for name in names:
        layer = modules.get(name)
        kind = None if layer is None else kind_of(layer)
        if layer is None or kind is None or not lacks_scale(layer):
            raise InputError(f"{name!r} is no norm of the model without γ and β")
        add_affine(layer, kind, new_affine(model, layer, kind))
