"""What an insertion did."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from asr_core.gate import Gate


@dataclass(frozen=True)
class Position:
    """One gated layer."""

    name: str
    kind: str
    axis: int
    channels: int
    gate: Gate


@dataclass(frozen=True)
class Report:
    """The gated layers of one insertion."""

    positions: list[Position]

    def parameters(self) -> list[nn.Parameter]:
        """The gates' parameters, for an optimizer."""
        return [p for position in self.positions for p in position.gate.parameters()]
