"""The record of freezing: how constant each gate was, and where its constant went."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from asr_core.asr.report import Refusal, aligned
from asr_core.freeze.statistics import GateStatistics
from asr_core.verify.parity import ParityReport


@dataclass(frozen=True)
class FrozenGate:
    """One live gate that a constant replaced.

    Attributes:
        name: dotted name of its module in the live model.
        kind: its class ("SE").
        statistics: mean (the constant v), variance between images and stripe score.
        layers: dotted names of the layers that v was folded into; empty if none could take it.
        side: "output" or "input", the channels of ``layers`` that v multiplies.
        reason: why no layer could take v, so that a constant stays in the model; else "".
    """

    name: str
    kind: str
    statistics: GateStatistics = field(repr=False)
    layers: tuple[str, ...]
    side: str
    reason: str

    @property
    def channels(self) -> int:
        """C, the length of v."""
        return self.statistics.mean.numel()

    @property
    def place(self) -> str:
        """Where v went, for tables."""
        if not self.layers:
            return "kept as a constant"
        return f"{self.side} of {', '.join(self.layers)}"


@dataclass(frozen=True, repr=False)
class FreezeReport:
    """The result of :func:`asr_core.freeze_attention`; its repr is a plain-text table.

    Attributes:
        gates: the frozen gates, in the model's order.
        refusals: gates that stay live, with the reason.
        frozen: the model with a constant in place of each gate.
        plain: the same with the constants folded away.
        parity: the comparison of the two.
        images: number of images that the means are taken over.
    """

    gates: tuple[FrozenGate, ...]
    refusals: tuple[Refusal, ...]
    frozen: nn.Module
    plain: nn.Module
    parity: ParityReport
    images: int

    @property
    def names(self) -> list[str]:
        """Names of the frozen gates, for :func:`asr_core.freeze.restore_frozen`."""
        return [gate.name for gate in self.gates]

    @property
    def kept(self) -> list[FrozenGate]:
        """The gates whose constant no layer could take."""
        return [gate for gate in self.gates if not gate.layers]

    def __repr__(self) -> str:
        head = ("gate", "kind", "channels", "mean", "std between images", "stripe score", "folded")
        rows = [head]
        for gate in self.gates:
            s = gate.statistics
            figures = (f"{s.mean.mean():.4f}", f"{s.std:.4f}", f"{s.stripe:.4g}")
            rows.append((gate.name, gate.kind, str(gate.channels), *figures, gate.place))
        lines = aligned(rows)
        lines += [f"{gate.name!r} is kept as a constant: {gate.reason}" for gate in self.kept]
        lines += [f"{r.name!r} stays live: {r.reason}" for r in self.refusals]
        return "\n".join(lines)
