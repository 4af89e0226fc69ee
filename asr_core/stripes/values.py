"""The values of a model's gates: live ones for each image, and those of ASR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from asr_core.asr.parametrization import gate_of, gated_layers
from asr_core.asr.report import Refusal, listed
from asr_core.errors import InputError
from asr_core.freeze.gates import GateSite, find_gates
from asr_core.freeze.statistics import GateStatistics, listening
from asr_core.models import Normalized
from asr_core.stripes.spread import checked
from asr_core.verify.parity import evaluating


def live_gates(model: nn.Module) -> tuple[list[GateSite], list[Refusal]]:
    """:func:`asr_core.freeze.find_gates` without the attention modules inside ASR gates."""
    sites, refusals = find_gates(model)
    inside = tuple(f"{name}.asr." for name, _ in gated_layers(model))
    return (
        [site for site in sites if not site.name.startswith(inside)],
        [refusal for refusal in refusals if not refusal.name.startswith(inside)],
    )


@torch.no_grad()
def gate_values(
    model: nn.Module, batches: Iterable[Tensor]
) -> tuple[dict[str, Tensor], list[Refusal]]:
    """The live channel gates of ``model`` on each image, in eval mode.

    Args:
        model: any model; its modes are restored.
        batches: inputs (N, ...) on the model's device.

    Returns:
        Float32 (N, C) on the CPU by the name of the attention module (without the prefix of
        :class:`Normalized`), in the model's order; and attention without a gate per image and
        channel, with the reason.

    Raises:
        InputError: a gate that is not finite.
    """
    inner = model.model if isinstance(model, Normalized) else model
    sites, refusals = live_gates(inner)
    gates: dict[str, list[Tensor]] = defaultdict(list)
    forwards = 0

    def listen(name: str, gate: Tensor) -> None:
        if not gate.isfinite().all():
            raise InputError(f"the gate of {name!r} is not finite on these images")
        gates[name].append(gate.flatten(1).float().cpu())

    with evaluating(model), listening(inner, sites, listen):
        for batch in batches:
            model(batch)
            forwards += 1
    values = {}
    for site in sites:
        if len(gates[site.name]) == forwards > 0:
            values[site.name] = torch.cat(gates[site.name])
        elif forwards:
            calls = f"it is called {len(gates[site.name])} times in {forwards} forwards"
            refusals.append(Refusal(site.name, f"{calls}, so it has no one gate"))
    return values, refusals


@torch.no_grad()
def gate_vectors(model: nn.Module) -> dict[str, Tensor]:
    """v of each ASR gate, float32 (C,) on the CPU, by the name of its layer."""
    inner = model.model if isinstance(model, Normalized) else model
    gates = ((name, gate_of(layer)) for name, layer in gated_layers(inner))
    return {name: gate.scale().float().cpu() for name, gate in gates if gate is not None}


def require_gates(model: nn.Module) -> None:
    """Refuse a ``model`` with nothing to record: no live channel gate and no ASR.

    Raises:
        InputError: with the reason for each attention module without such a gate.
    """
    sites, refusals = live_gates(model)
    if not sites and next(gated_layers(model), None) is None:
        why = f": {listed(refusals)}" if refusals else ""
        raise InputError(
            f"no gates to record{why}; train with live channel attention or ASR, or record none"
        )


def stripe_score(values: Tensor) -> float:
    """How far the gates of a layer, (N, C), are from stripes.

    Mean over channels of the variance between images, over the variance between channels of the
    mean over images: :attr:`asr_core.freeze.GateStatistics.stripe`. 0 is a perfect stripe.

    Raises:
        InputError: another shape, or fewer than two images.
    """
    gates = checked(values)
    return GateStatistics(gates.mean(0), gates.var(0, correction=0), len(gates)).stripe
