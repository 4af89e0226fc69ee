"""Putting ASR into a model: everything is decided before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_core.errors import InputError, TargetError
from asr_core.fuse import reparameterize
from asr_core.gate import Gate
from asr_core.layers import LayerKind, Slot, Stock, present
from asr_core.parametrization import add_hooks, attach, detach, own_modules, remove_hooks
from asr_core.probe import output_axis
from asr_core.refusals import refuse_shared, refuse_taken
from asr_core.report import Position, Report
from asr_core.shared import Shared, SharedGate, leaders
from asr_core.targets import Targets, select
from asr_core.wrappers import refuse_wrapped

TINY = 1e-4
"""Gates below this cannot be divided by: ``preserve`` would blow the parameters up."""


@dataclass(frozen=True)
class _Plan:
    """What will happen to one layer."""

    name: str
    layer: nn.Module
    kind: LayerKind
    axis: int
    gate: Gate
    created: dict[str, nn.Parameter]
    host: nn.Module | None
    """The MultiheadAttention that reads the layer's tensors without calling its forward."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        return present(self.layer, self.kind, self.created)


def insert_asr(
    model: nn.Module,
    attention: str = "se",
    *,
    targets: Targets = "auto",
    exclude: Targets = (),
    delta: int = 1,
    psi: float = 0.1,
    activation: str = "sigmoid",
    attention_init: float | None = None,
    shared: Shared = None,
    preserve: bool = False,
) -> Report:
    """Multiply the targeted layers' output channels by v = attention(ψ), in place, all or nothing.

    No forward changes: v multiplies the layers' own parameters (paper, supplementary, eq. 1-6),
    by ``torch.nn.utils.parametrize``. :func:`asr_core.fuse_asr` folds it away. The order that
    works is: initialise or load the weights, convert to SyncBatchNorm, insert, build the
    optimizer, then compile or wrap for parallel training.

    Args:
        model: the plain model, in any mode, dtype and on any device.
        attention: name in :data:`asr_core.attention.ATTENTIONS`; "const" is the control, a gate
            frozen at its start.
        targets: "auto", the last layer of each residual branch or, without residual adds, the
            norm before each activation (:func:`asr_core.placement.place`); or dotted names, globs
            on the full dotted name (``*`` crosses dots), callables ``(module, name) -> bool``, or
            a list of these. A MultiheadAttention stands for its ``out_proj``; one without it
            takes the gate in W_V.
        exclude: the same, for layers to leave out.
        delta: δ, gates per position, multiplied with each other.
        psi: the value that every element of ψ starts from.
        activation: what ends each attention module: "sigmoid", "tanh" or "hardsigmoid".
        attention_init: the value that all weights of the attention modules start from; None for
            their own initialisation. For ViT: tanh, ``psi=1e-3``, ``attention_init=1e-3``.
        shared: for layers whose outputs are summed, one gate on the sum, which the state dict
            holds once, at the first of them: lists of their names; or "parents", one gate for the
            targets of each parent module (RepVGG's blocks).
        preserve: divide the parameters by v, so that outputs are unchanged at insertion (for
            trained models). Otherwise they shrink by v, about 0.525 for sigmoid and ψ = 0.1.

    Returns:
        The positions, with their gates and parameters, and the refusals with their reasons.

    Raises:
        TargetError: a model that "auto" cannot trace or finds no place in; a pattern that means
            no layer that can take a gate; a layer that has a gate, is shared, or is parametrized
            already; a model that is wrapped or compiled. The model is as before.
        InputError: unknown names, δ, ψ, layers of several widths to share a gate, or a v that
            ``preserve`` cannot divide by.
    """
    refuse_wrapped(model)
    modules = own_modules(model)
    layers, refusals = select(modules, targets, exclude)
    refuse_taken(layers)
    refuse_shared(modules, layers)
    options = {
        "delta": delta,
        "psi": psi,
        "activation": activation,
        "attention_init": attention_init,
    }
    led_by = leaders(shared, {name: kind.channels(layer) for name, (layer, kind) in layers.items()})
    gates: dict[str, Gate] = {}
    plans = []
    for name, (layer, kind) in layers.items():
        parent = modules.get(name.rpartition(".")[0]) if name else None
        host = parent if isinstance(parent, nn.MultiheadAttention) else None
        created = _created(model, layer, kind)
        first = present(layer, kind, created)[0].tensor
        like = created.get(first, getattr(layer, first))
        if like.is_meta:
            raise TargetError(
                f"{name!r} is on the meta device and has no values to scale: to_empty() the model "
                "and load its weights first"
            )
        if name in led_by:
            gate: Gate = SharedGate(gates[led_by[name]])
        else:
            gate = Gate(kind.channels(layer), attention, **options)  # type: ignore[arg-type]
        gates[name] = gate = gate.to(like.device, like.dtype).train(layer.training)
        axis = output_axis(layer, kind, created)
        plans.append(_Plan(name, layer, kind, axis, gate, created, host))
    if preserve:
        _refuse_tiny(plans)
    _apply(plans, preserve=preserve)
    positions = tuple(
        Position(
            plan.name,
            plan.kind.name,
            plan.axis,
            plan.kind.channels(plan.layer),
            plan.gate,
            tuple(plan.created),
            _start(plan.gate).mean().item(),
        )
        for plan in plans
    )
    return Report(positions, refusals, preserve)


def _created(model: nn.Module, layer: nn.Module, kind: LayerKind) -> dict[str, nn.Parameter]:
    """γ = 1 and β = 0, frozen, for a norm that has none."""
    if not kind.affine or getattr(layer, kind.affine):
        return {}
    tensors = [*layer.buffers(), *model.parameters()]
    like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    channels = kind.channels(layer)
    return {
        slot.tensor: nn.Parameter(
            torch.full(
                (channels,),
                1.0 if slot.tensor == "weight" else 0.0,
                dtype=like.dtype,
                device=like.device,
            ),
            requires_grad=False,
        )
        for slot in kind.slots(layer)
    }


def _start(gate: Gate) -> Tensor:
    with torch.no_grad():
        return gate.scale()


def _refuse_tiny(plans: list[_Plan]) -> None:
    for plan in plans:
        least = _start(plan.gate).abs().min().item()
        if not least >= TINY:
            raise InputError(
                f"preserve=True divides by v, but at {plan.name!r} it comes down to {least:.2g} "
                f"(least allowed: {TINY:g}): use sigmoid, a larger psi, or preserve=False"
            )


def _apply(plans: list[_Plan], *, preserve: bool) -> None:
    done: list[_Plan] = []
    try:
        for plan in plans:
            done.append(plan)
            _attach(plan)
    except BaseException:
        for plan in done:
            _undo(plan)
        raise
    for plan in plans if preserve else []:
        v = _start(plan.gate)
        for slot in plan.slots:
            original = plan.layer.parametrizations[slot.tensor].original  # type: ignore[index,union-attr]
            with torch.no_grad():
                original.div_(slot.factor(original, v))


def _attach(plan: _Plan) -> None:
    slots = plan.slots
    for name, parameter in plan.created.items():
        plan.layer.register_parameter(name, parameter)
    if plan.created:
        setattr(plan.layer, plan.kind.affine, True)
    stock = Stock(tuple(plan.layer._parameters), tuple(plan.created), plan.kind, plan.axis)
    attach(plan.layer, plan.gate, slots, stock)
    type(plan.layer).reparameterize = reparameterize  # type: ignore[attr-defined]
    plan.gate.mark_start()
    if plan.host is not None:
        add_hooks(plan.host)


def _undo(plan: _Plan) -> None:
    if plan.layer._modules.get("asr") is plan.gate:
        detach(plan.layer, {})
    if plan.host is not None:
        remove_hooks(plan.host)
    for name in plan.created:
        plan.layer.register_parameter(name, None)
    if plan.created:
        setattr(plan.layer, plan.kind.affine, False)
