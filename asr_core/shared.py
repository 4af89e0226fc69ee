"""One gate for several layers whose outputs are summed: v ⊙ (a + b) = v ⊙ a + v ⊙ b.

So a gate on a sum, which has no parameters of its own, folds into each of the summands' layers
(RepVGG; paper, supplementary, B.2).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.gate import Gate
from asr_core.parametrization import scales
from asr_core.report import Position, Report


class SharedGate(Gate):
    """Gives the v of another layer's gate, and owns nothing itself."""

    def __init__(self, leader: Gate) -> None:
        nn.Module.__init__(self)
        # In a tuple, which registers nothing: the state dict holds the gate once.
        self._leader = (leader,)
        self.config = leader.config
        self._held = None
        self._start = ()

    def scale(self) -> Tensor:
        """v, shape (C,), with gradient."""
        return self._leader[0].scale() if self._held is None else self._held

    def never_trained(self) -> bool:
        """Whether the shared gate is as it started."""
        return self._leader[0].never_trained()


def share_gates(model: nn.Module, report: Report) -> Report:
    """Let the gated layers of one parent module, directly in it, have the gate of the first.

    For parents that sum their gated layers' outputs. Call it right after
    :func:`asr_core.insert_asr`, before the optimizer is built.

    Args:
        model: the model that the report is about.
        report: of all insertions into the layers in question.

    Returns:
        The report with the gates as they are now.

    Raises:
        InputError: layers of one parent differ in channels; nothing was changed.
    """
    groups: dict[str, list[Position]] = defaultdict(list)
    for position in report.positions:
        groups[position.name.rpartition(".")[0]].append(position)
    for parent, group in groups.items():
        widths = {position.name: position.channels for position in group}
        if len(set(widths.values())) > 1:
            raise InputError(f"no gate fits all layers of {parent!r}: their channels are {widths}")
    positions = {}
    for first, *others in groups.values():
        positions[first.name] = first
        for position in others:
            gate = SharedGate(first.gate)
            _replace(model.get_submodule(position.name), gate, preserve=report.preserved)
            positions[position.name] = dataclasses.replace(position, gate=gate, start=first.start)
    ordered = tuple(positions[position.name] for position in report.positions)
    return dataclasses.replace(report, positions=ordered)


def _replace(layer: Any, gate: SharedGate, *, preserve: bool) -> None:
    gate.stock = layer.asr.stock
    with torch.no_grad():
        before, now = layer.asr.scale(), gate.scale()
        for name, scale in scales(layer).items():
            if preserve:  # insertion divided by the v that goes
                original = layer.parametrizations[name].original
                original.mul_(scale.slot.factor(original, before / now))
            scale._gate = (gate,)
    layer.asr = gate
