"""Folding constants into the layers around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from asr_core.asr.layers import Side, slots_of
from asr_core.errors import InputError, TargetError
from asr_core.freeze.constant import Constant, take_out
from asr_core.freeze.gates import GateSite
from asr_core.graph.forward import Forward
from asr_core.graph.trace import trace_all
from asr_core.placement.changes import Changes
from asr_core.placement.reach import NoFoldError, Reach, Seeker


def fold_constants(model: nn.Module, sites: Iterable[GateSite]) -> dict[str, Reach | str]:
    """Fold the constants at ``sites`` into neighbouring layers of ``model``, in place.

    A constant stays if no layer can take it: the parameters are shared, the output is read
    elsewhere, or an activation between lets no factor through.

    Returns:
        By the site's name, the layers that took the constant, or why none did.

    Raises:
        InputError: a folded tensor is not finite; naming it.
    """
    done: dict[str, Reach | str] = {}
    modules = dict(model.named_modules(remove_duplicate=False))
    try:
        forwards = [Forward(model, graph) for graph in trace_all(model)]
    except TargetError as error:
        reason = f"the graph of the model's forward cannot be found ({error.__cause__ or error})"
        return {site.name: reason for site in sites}
    changes = Changes(forwards, modules)
    for site in sites:
        v = cast(Constant, modules[site.name]).v.detach().flatten()
        positive = bool((v >= 0).all())
        seekers = [Seeker(f, modules, site.axis, positive, changes=changes) for f in forwards]
        try:
            reach = _agreed([seeker.reach(site.name) for seeker in seekers])
        except NoFoldError as error:
            done[site.name] = str(error)
            continue
        for name in reach.layers:
            scale(name, modules[name], v, reach.side)
        take_out(model, site)
        done[site.name] = reach
    return done


def _agreed(reaches: Sequence[Reach]) -> Reach:
    """Where the constant can go for all optional arguments of the model."""
    if any(reach != reaches[0] for reach in reaches):
        raise NoFoldError("the model's optional arguments change what reads it")
    return reaches[0]


@torch.no_grad()
def scale(name: str, layer: nn.Module, v: Tensor, side: Side) -> None:
    """Multiply the output or input channels of ``layer`` by v (C,), in its parameters, in place.

    Raises:
        InputError: a result is not finite.
    """
    for slot in slots_of(layer, side=side):
        tensor: Tensor = getattr(layer, slot.tensor)
        scaled = slot.scaled(tensor, v)
        if not scaled.isfinite().all():
            raise InputError(
                f"'{name}.{slot.tensor}' is not finite after folding a constant gate into it"
            )
        tensor.copy_(scaled)
