"""The layers that get a gate, decided before any of them is changed."""

from __future__ import annotations

from typing import Any

from torch import nn

from asr_core.asr.affine import new_affine
from asr_core.asr.layers import LayerKind, Side, lacks_scale
from asr_core.asr.parametrization import own_modules
from asr_core.asr.report import Position, Refusal, listed
from asr_core.errors import TargetError
from asr_core.placement import Placement, no_place, place
from asr_core.placement.refusals import Layers, forbidden, refuse_unready
from asr_core.placement.targets import Targets, as_patterns, select
from asr_core.verify.layer_oracle import scaled_axis


def find_positions(
    model: nn.Module,
    targets: Targets,
    exclude: Targets,
    *,
    inputs: Targets,
    create_affine: bool,
    positive: bool,
    example: Any,
) -> tuple[list[Position], tuple[Refusal, ...], list[list[str]]]:
    """The layers that ``targets`` match and ``exclude`` does not, all fit for a gate.

    If a layer that "auto" finds can take no gate, it is refused, and with it those that would have
    to share its gate. The arguments are those of :func:`asr_core.insert_asr` and
    :func:`asr_core.placement.place`.

    Returns:
        The positions in the model's order, without their gates; the refused modules; and the groups
        of positions that "auto" gives one gate.

    Raises:
        TargetError: as :func:`asr_core.placement.place` and
            :func:`asr_core.placement.targets.select`; a layer has a gate already, or is on the meta
            device; a named layer can take no gate; no layer is left. The model is as before.
    """
    modules = own_modules(model)
    auto = isinstance(targets, str) and targets == "auto"
    placement = Placement()
    if auto:
        placement = place(model, example=example, positive=positive, create_affine=create_affine)
        targets = [*placement.names, *(n for m in placement.moved for n in (*m.norms, *m.layers))]
    layers: Layers = {}
    refusals: tuple[Refusal, ...] = ()
    if as_patterns(targets) or not as_patterns(inputs):
        layers, refusals = select(modules, targets, exclude)
    moved = [m for m in placement.moved if layers.keys() >= {*m.norms, *m.layers}]
    entered = {name: layers[name] for m in moved for name in m.layers}
    if auto:
        layers = {name: layers[name] for name in layers if name in placement.names}
    if as_patterns(inputs):
        entered |= select(modules, inputs, ())[0]
    if both := layers.keys() & entered.keys():
        raise TargetError(
            f"{min(both)!r} would get a gate on its inputs and one on its outputs, but takes one"
        )
    layers = {
        name: (layers | entered)[name] for name in modules if name in layers or name in entered
    }
    refuse_unready(layers)
    refused = forbidden(modules, layers)
    positions = {}
    for name, (layer, kind) in layers.items():
        if name not in refused:
            side: Side = "input" if name in entered else "output"
            try:
                positions[name] = _position(model, name, layer, kind, side, create_affine)
            except TargetError as error:
                refused[name] = str(error)
    together = [*placement.shared, *(m.layers for m in moved)]
    for group in together:
        if first := next((name for name in group if name in refused), None):
            reason = f"it would have to share the gate of {first!r}, which can take none"
            refused.update({name: reason for name in group if name not in refused})
    refusals = (*placement.refusals, *refusals, *(Refusal(n, r) for n, r in refused.items()))
    if refused and not auto:
        raise TargetError(f"no gate on {listed(Refusal(n, r) for n, r in refused.items())}")
    left = [position for name, position in positions.items() if name not in refused]
    if not left:
        raise no_place(model, refusals)
    names = {position.name for position in left}
    for position in left:
        position.norms = tuple(n for m in moved if position.name in m.layers for n in m.norms)
    groups = [[name for name in group if name in names] for group in together]
    return left, refusals, [group for group in groups if len(group) > 1]


def _position(
    model: nn.Module, name: str, layer: nn.Module, kind: LayerKind, side: Side, create: bool
) -> Position:
    if side == "input" and not kind.inputs(layer):
        raise TargetError("it has no weight for each input channel to fold a gate into")
    created: dict[str, nn.Parameter] = {}
    if side == "output" and lacks_scale(layer):
        if not create:
            raise TargetError(NO_SCALE)
        created = new_affine(model, layer, kind)
    axis = scaled_axis(layer, kind, created, side)
    return Position(name, kind.name, axis, kind.width(layer, side), tuple(created), side)


NO_SCALE = (
    "it is a norm without γ, so it has no parameter for v: create_affine=True creates γ and β, "
    "after which the model is no longer the stock model; or gate the input channels of the layer "
    "after it (inputs=)"
)
