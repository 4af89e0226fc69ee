"""The layers that get a gate, each with all that has to be known before it is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from asr_core.errors import TargetError
from asr_core.layers import LayerKind, Slot, present
from asr_core.parametrization import own_modules
from asr_core.placement import Placement, no_place, place
from asr_core.probe import output_axis
from asr_core.refusals import Layers, forbidden, refuse_gated
from asr_core.report import Refusal, listed
from asr_core.targets import Targets, select


@dataclass(frozen=True)
class Site:
    """A layer that can take a gate.

    Attributes:
        name: dotted name of the layer.
        layer: the layer.
        kind: how it takes a gate.
        axis: the channel axis of its output.
        created: γ and β for a norm without them.
        host: the MultiheadAttention that reads the layer's tensors without calling its forward.
    """

    name: str
    layer: nn.Module
    kind: LayerKind
    axis: int
    created: dict[str, nn.Parameter]
    host: nn.Module | None

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The tensors to multiply."""
        return present(self.layer, self.kind, self.created)

    @property
    def channels(self) -> int:
        """C, the length of v."""
        return self.kind.channels(self.layer)


@dataclass(frozen=True)
class Sites:
    """Where gates go.

    Attributes:
        sites: the layers, in the model's order.
        refusals: modules that were meant, but take no gate.
        shared: groups of layers that automatic placement gives one gate; empty without it.
    """

    sites: list[Site]
    refusals: tuple[Refusal, ...]
    shared: list[list[str]]


def find_sites(
    model: nn.Module, targets: Targets, exclude: Targets, *, example: Any = None
) -> Sites:
    """The layers that ``targets`` mean and ``exclude`` does not, all fit for a gate.

    A layer that "auto" finds but that can take no gate is among the refusals, and with it those
    that would have to share its gate.

    Raises:
        TargetError: as :func:`asr_core.placement.place` and :func:`asr_core.targets.select`; a
            layer that has a gate already; a layer on the meta device; a layer that is named but
            can take no gate; no layer is left. The model is as before.
    """
    modules = own_modules(model)
    auto = isinstance(targets, str) and targets == "auto"
    placement = place(model, example=example) if auto else Placement()
    layers, refusals = select(modules, placement.names if auto else targets, exclude)
    refuse_gated(layers)
    _refuse_meta(layers)
    refused = forbidden(modules, layers)
    sites = {}
    for name, (layer, kind) in layers.items():
        if name not in refused:
            try:
                sites[name] = _site(modules, name, layer, kind)
            except TargetError as error:
                refused[name] = str(error)
    for group in placement.shared:
        if first := next((name for name in group if name in refused), None):
            reason = f"it would have to share the gate of {first!r}, which can take none"
            refused.update({name: reason for name in group if name not in refused})
    refusals = (*placement.refusals, *refusals, *(Refusal(n, r) for n, r in refused.items()))
    if refused and not auto:
        raise TargetError(f"no gate on {listed(Refusal(n, r) for n, r in refused.items())}")
    left = [site for name, site in sites.items() if name not in refused]
    if not left:
        raise no_place(model, refusals)
    names = {site.name for site in left}
    groups = [[name for name in group if name in names] for group in placement.shared]
    return Sites(left, refusals, [group for group in groups if len(group) > 1])


def _refuse_meta(layers: Layers) -> None:
    for name, (layer, _) in layers.items():
        if any(tensor.is_meta for tensor in (*layer.parameters(), *layer.buffers())):
            raise TargetError(
                f"{name!r} is on the meta device and has no values to scale: to_empty() the model "
                "and load its weights first"
            )


def _site(modules: dict[str, nn.Module], name: str, layer: nn.Module, kind: LayerKind) -> Site:
    created = _created(modules[""], layer, kind)
    parent = modules.get(name.rpartition(".")[0]) if name else None
    host = parent if isinstance(parent, nn.MultiheadAttention) else None
    return Site(name, layer, kind, output_axis(layer, kind, created), created, host)


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
