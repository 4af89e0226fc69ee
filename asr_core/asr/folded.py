"""The tensors of a gated layer with v in them, checked before anything is changed."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from asr_core.asr.gate import Gate
from asr_core.asr.layers import LayerKind, kind_of
from asr_core.asr.parametrization import gate_of, scales
from asr_core.errors import ParityError
from asr_core.verify.layer_oracle import (
    TOLERANCE,
    accepted,
    difference,
    disagreement,
    precision,
    synthetic_inputs,
    twin,
)


def folded_tensors(name: str, layer: nn.Module) -> dict[str, Tensor]:
    """The fused tensors of a gated ``layer`` called ``name``, checked; the layer is not changed.

    Raises:
        ParityError: a tensor is not finite, or the fused layer would not be stock × v.
    """
    gate = cast(Gate, gate_of(layer))
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
    scaled = {tensor: scale.slot.scaled(raw[tensor], v) for tensor, scale in scales(layer).items()}
    pair = twin(layer, raw, dtype), twin(layer, scaled, dtype)
    axis, side = gate.position.axis, gate.position.side
    entering = (v, axis) if side == "input" else None
    kind = cast(LayerKind, kind_of(layer))
    outputs = accepted(pair, synthetic_inputs(layer, kind, dtype), entering)
    if outputs is None:
        raise ParityError(f"{name!r} takes none of the inputs tried; nothing was fused")
    error = difference(*outputs) if entering else disagreement(*outputs, v, axis)
    if not error <= TOLERANCE[dtype]:
        wanted = "the stock output on input × v" if entering else "stock output × v"
        raise ParityError(
            f"the output of {name!r} with v in its parameters differs from {wanted} by "
            f"{error:.3g} (tolerance {TOLERANCE[dtype]:g} in {dtype}); nothing was fused"
        )
