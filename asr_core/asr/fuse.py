"""Folding ASR away: the model is the plain backbone again, with v in its parameters."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.asr.gate import Gate
from asr_core.asr.parametrization import detach, gate_of, gated_layers, remove_hooks, scales
from asr_core.errors import ParityError
from asr_core.modules.copies import copy_model
from asr_core.modules.rollback import all_or_nothing
from asr_core.modules.wrappers import unwrap
from asr_core.verify.layer_oracle import (
    TOLERANCE,
    accepted,
    difference,
    disagreement,
    precision,
    synthetic_inputs,
    twin,
)
from asr_core.verify.parity import check_parity


# Copies that are made in inference mode could never be trained.
@torch.inference_mode(False)
def fuse_asr(model: nn.Module, *, inplace: bool = False, example: Any = None) -> nn.Module:
    """The plain model, with every gate's v multiplied into its layer's parameters.

    Module classes, state-dict keys and their order, shapes, dtypes and devices are the stock
    model's, but for γ and β that :func:`asr_core.insert_asr` created on request
    (``create_affine``): those stay, and the result is no longer the stock model. Parameters are
    leaves that keep ``requires_grad``. A model without ASR comes back as it is (as a copy, unless
    ``inplace``). Nothing changes before all of this holds: the fused tensors are finite and
    bit-equal to those that the gated layers use; each gated layer's output is its stock output
    times v (or that on its input times v), to 1e-12 in float64; the whole model's output on
    ``example``.

    Args:
        model: a model that :func:`asr_core.insert_asr` was applied to, in any mode, which is
            kept; DDP, torch.compile and AveragedModel wrappers are taken off.
        inplace: fuse ``model`` itself; its parameters stay the same objects.
        example: input (or tuple of inputs) for the end-to-end check; None leaves that one out.

    Raises:
        ParityError: one of the checks fails; the model is as before.
        InputError: a gated tensor has another parametrization on top, or was pruned; or it was
            written to where the write is lost.
        TargetError: the parameters are sharded (FSDP).

    Warns:
        UserWarning: no gate has changed since insertion.
    """
    model = unwrap(model)
    gates = []
    for _, layer in gated_layers(model):
        gates.append(gate_of(layer))
        for scale in scales(layer).values():
            scale.check_unwritten()
    if gates and all(gate is not None and gate.never_trained() for gate in gates):
        warnings.warn(
            "no gate has changed since insert_asr: was the optimizer built before it, without "
            "report.parameters()?",
            stacklevel=2,
        )
    plain = None if inplace and example is None else _fold(copy_model(model))
    if plain is not None and example is not None:
        check_parity(model, plain, example).require()
    return _fold(model) if plain is None or inplace else plain


def reparameterize(layer: nn.Module) -> None:
    """Fuse one gated layer in place, checked; by this name timm.utils finds it as a method."""
    _commit([layer], [(layer, fused_tensors(type(layer).__name__, layer))])


def _fold(model: nn.Module) -> nn.Module:
    values = [(layer, fused_tensors(name, layer)) for name, layer in gated_layers(model)]
    _commit(list(model.modules()), values)
    return model


def _commit(modules: list[nn.Module], values: list[tuple[Any, dict[str, Tensor]]]) -> None:
    originals = [chain.original for layer, _ in values for chain in layer.parametrizations.values()]
    with all_or_nothing(modules, originals):
        for layer, tensors in values:
            detach(layer, tensors)
        for module in modules:
            remove_hooks(module)
    for original in originals:
        original.grad = None


def fused_tensors(name: str, layer: nn.Module) -> dict[str, Tensor]:
    """The tensors that take the place of a gated ``layer``'s originals, by name, checked.

    Args:
        name: dotted name of the layer, for messages.
        layer: a layer with a gate; not changed.

    Raises:
        ParityError: a tensor is not finite, or the fused layer would not be stock × v.
    """
    gate = gate_of(layer)
    if gate is None:
        raise ParityError(f"{name!r} has no gate to fuse")
    originals: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    with torch.no_grad():
        v = gate.scale()
        if not v.isfinite().all():
            raise ParityError(f"the gate v of {name!r} is not finite; nothing was fused")
        for tensor, scale in scales(layer).items():
            original = layer.parametrizations[tensor].original  # type: ignore[index,union-attr]
            folded = scale.slot.scaled(original, v)
            if not folded.isfinite().all():
                raise ParityError(f"{tensor!r} of {name!r} is not finite; nothing was fused")
            if not torch.equal(folded, getattr(layer, tensor)):
                raise ParityError(
                    f"{tensor!r} of {name!r} is not what the gated layer uses; nothing was fused"
                )
            originals[tensor], tensors[tensor] = original.detach(), folded
    _check_output(name, layer, gate, originals, v)
    return tensors


def _check_output(
    name: str, layer: nn.Module, gate: Gate, originals: dict[str, Tensor], v: Tensor
) -> None:
    dtype = precision(originals)
    raw = {tensor: value.to("cpu", dtype) for tensor, value in originals.items()}
    v = v.to("cpu", dtype)
    slots = {tensor: scale.slot for tensor, scale in scales(layer).items()}
    scaled = {tensor: slots[tensor].scaled(value, v) for tensor, value in raw.items()}
    pair = twin(layer, raw, dtype), twin(layer, scaled, dtype)
    stock = gate.stock
    entering = (v, stock.axis) if stock.side == "input" else None
    outputs = accepted(pair, synthetic_inputs(layer, stock.kind, dtype), entering)
    if outputs is None:
        raise ParityError(f"{name!r} takes none of the inputs tried; nothing was fused")
    error = difference(*outputs) if entering else disagreement(*outputs, v, stock.axis)
    if not error <= TOLERANCE[dtype]:
        wanted = "the stock output on input × v" if entering else "stock output × v"
        raise ParityError(
            f"the output of {name!r} with v in its parameters differs from {wanted} by "
            f"{error:.3g} (tolerance {TOLERANCE[dtype]:g} in {dtype}); nothing was fused"
        )
