"""Inserting ASR: everything is decided before the model is changed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from asr_core.asr.affine import like
from asr_core.asr.gate import FREE, FreeGate, Gate
from asr_core.asr.layers import slots_of
from asr_core.asr.lifecycle import attach
from asr_core.asr.report import Position, Report
from asr_core.asr.shared import Shared, SharedGate, leaders
from asr_core.attention.base import NON_NEGATIVE
from asr_core.errors import InputError
from asr_core.modules.wrappers import refuse_wrapped
from asr_core.placement.positions import find_positions
from asr_core.placement.targets import Targets

TINY = 1e-4
"""Least v that ``preserve`` divides by: smaller ones would blow the parameters up."""


# Parameters made in inference mode could never be trained.
@torch.inference_mode(False)
def insert_asr(
    model: nn.Module,
    attention: str = "se",
    *,
    targets: Targets = "auto",
    exclude: Targets = (),
    inputs: Targets = (),
    create_affine: bool = False,
    delta: int = 1,
    psi: float = 0.1,
    activation: str = "sigmoid",
    attention_init: float | None = None,
    control: str | None = None,
    shared: Shared = None,
    preserve: bool = False,
    example: Any = None,
) -> Report:
    """Multiply the targeted layers' output channels by v = attention(ψ), in place, all or nothing.

    No forward changes: v multiplies the layers' own parameters (paper, supplementary, eq. 1-6),
    by ``torch.nn.utils.parametrize``. :func:`asr_core.fuse_asr` folds it away. A norm without γ
    has no parameter for v, and erases a scale before it. "auto" moves its v into the input channels
    of the layers that read the norm, if that is exact: everything between must pass a factor on
    (ReLU does for v ≥ 0, so for sigmoid and hardsigmoid). Otherwise it refuses the norm.

    The order that works is: initialise or load the weights, convert to SyncBatchNorm, insert,
    build the optimizer, then compile or wrap for parallel training.

    Args:
        model: the plain model, in any mode, dtype and on any device.
        attention: name in :data:`asr_core.attention.ATTENTIONS`; "const" is a control, a gate
            without attention that stays at its start.
        targets: "auto", the last layer of each residual branch or, without residual adds, the
            norm before each activation (:func:`asr_core.placement.place`); the report lists those
            of them that can take no gate. Or dotted names, globs on the full dotted name (``*``
            crosses dots), callables ``(module, name) -> bool``, or a list of these. A
            MultiheadAttention means its ``out_proj``; one without it takes the gate in W_V.
        exclude: the same, for layers to leave out.
        inputs: the same, for convolutions and linear layers whose *input* channels v multiplies:
            layer(x ⊙ v). ``targets`` may then be empty.
        create_affine: give targeted norms without γ and β these parameters (1 and 0, frozen). The
            fused model then has keys that the stock model lacks: it is no longer the stock
            model. Files of :func:`asr_core.save_model` record that.
        delta: δ, gates per position, multiplied with each other.
        psi: initial value of every element of ψ.
        activation: the last step of each attention module: "sigmoid", "tanh" or "hardsigmoid".
        attention_init: initial value of all weights of the attention modules; None for their own
            initialisation. For ViT: tanh, ``psi=1e-3``, ``attention_init=1e-3``.
        control: None for gates that learn. Controls start at the same v, channel by channel:
            "frozen" has the same modules with the same draw of their weights, which stay as they
            are; "free-v" learns v itself, a vector without bounds and without attention.
        shared: for layers whose outputs are summed, one gate on the sum, which the state dict
            holds once, at the first of them: lists of their names; or "parents", one gate for the
            targets of each parent module (RepVGG's blocks). None leaves it to "auto".
        preserve: divide the parameters by v, so that outputs are unchanged at insertion (for
            trained models). Otherwise they shrink by v, about 0.525 for sigmoid and ψ = 0.1.
        example: an input (or tuple of inputs) with which "auto" follows a forward that depends on
            shapes; its values are not read.

    Returns:
        The positions, with their gates and parameters, and the refusals with their reasons.

    Raises:
        TargetError: "auto" cannot trace the model, or finds no place; a pattern matches no layer
            that can take a gate; a layer has a gate already; a named layer is shared, parametrized,
            a norm without γ (see ``create_affine``), or has tensors that are not dense real
            parameters with values; the model is wrapped or compiled. The model is as before.
        InputError: an unknown name, δ or ψ out of range, layers of several widths that share a
            gate, or a v that ``preserve`` cannot divide by.
    """
    refuse_wrapped(model)
    positions, refusals, groups = find_positions(
        model,
        targets,
        exclude,
        inputs=inputs,
        create_affine=create_affine,
        # A free v can fall below 0.
        positive=activation in NON_NEGATIVE and control != FREE,
        example=example,
    )
    led_by = leaders(groups if shared is None else shared, {p.name: p.channels for p in positions})
    for norms in {p.norms: None for p in positions if p.norms}:
        reading = [p.name for p in positions if p.norms == norms]
        if len({led_by.get(name, name) for name in reading}) > 1:
            raise InputError(
                f"the layers {reading} read one norm and must share its gate; "
                f"shared={shared!r} separates them"
            )
    modules = dict(model.named_modules(remove_duplicate=False))
    gates: dict[str, Gate] = {}
    for position in positions:
        layer = modules[position.name]
        if position.name in led_by:
            gate: Gate = SharedGate(gates[led_by[position.name]])
        else:
            gate = Gate(
                position.channels,
                attention,
                delta=delta,
                psi=psi,
                activation=activation,
                attention_init=attention_init,
                control=control,
            )
        beside = _like(model, layer, position)
        gate = gate.to(beside.device, beside.dtype)
        if control == FREE and position.name not in led_by:
            gate = FreeGate(gate)
        gate.train(layer.training)
        position.gate = gates[position.name] = gate
        with torch.no_grad():
            v = gate.scale()
        position.start = v.mean().item()
        least = v.abs().min().item()
        if preserve and not least >= TINY:
            raise InputError(
                f"preserve=True divides by v, but at {position.name!r} it is as small as "
                f"{least:.2g} (least allowed: {TINY:g}): use sigmoid, a larger psi, or "
                "preserve=False"
            )
    attach(model, positions, preserve=preserve)
    return Report(tuple(positions), refusals, preserve)


def _like(model: nn.Module, layer: nn.Module, position: Position) -> Tensor:
    """A tensor with the dtype and device that the layer's gate should have."""
    slots = slots_of(layer, side=position.side)
    return getattr(layer, slots[0].tensor) if slots else like(model, layer)
