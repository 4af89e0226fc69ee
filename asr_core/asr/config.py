"""The arguments that insert the same ASR into a fresh model, as JSON."""

from __future__ import annotations

from typing import Any

from torch import nn

from asr_core.asr.parametrization import gate_of, gated_layers, scales
from asr_core.asr.shared import groups_of
from asr_core.errors import InputError
from asr_core.modules.wrappers import unwrap


def asr_config(model: nn.Module) -> dict[str, Any]:
    """The arguments of the :func:`asr_core.insert_asr` call that rebuilds the model's structure.

    After ``insert_asr(fresh, **asr_config(model))`` a fresh stock model loads
    ``model.state_dict()`` strictly. ``targets`` and ``inputs`` are the names of the layers with a
    gate on their outputs and on their inputs, ``shared`` the groups of them with one gate, or None.

    Raises:
        InputError: the model has no ASR; or its gates came from insertions with different
            arguments, or a gated tensor was parametrized or pruned, which no one call can do.
    """
    layers = list(gated_layers(unwrap(model)))
    for _, layer in layers:
        scales(layer)
    gates = {name: gate for name, layer in layers if (gate := gate_of(layer)) is not None}
    configs = {name: gate.config for name, gate in gates.items()}
    if not configs:
        raise InputError("the model has no ASR: nothing to describe")
    first, config = next(iter(configs.items()))
    for name, other in configs.items():
        if other != config:
            raise InputError(
                f"the gates at {first!r} and {name!r} were inserted with different arguments "
                f"({config} and {other}): describe each with its own insert_asr call"
            )
    return {
        **config,
        "targets": [name for name, gate in gates.items() if gate.position.side == "output"],
        "inputs": [name for name, gate in gates.items() if gate.position.side == "input"],
        "create_affine": any(gate.position.created for gate in gates.values()),
        "shared": groups_of(gates),
    }
