"""The record of an insertion: its positions, and the parameters that it added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import nn

from asr_core.asr.gate import Gate
from asr_core.asr.layers import Side


@dataclass(eq=False)
class Position:
    """A layer with a gate, or chosen for one: the same record from placement to fusing.

    Attributes:
        name: dotted name of the layer in the model.
        kind: kind of layer ("batch norm").
        axis: channel axis of what v multiplies.
        channels: C, the length of v.
        created: frozen parameters that the layer lacks and gets for the gate.
        side: what v multiplies, the layer's "output" or "input".
        norms: for a gate that "auto" moved to an input: the norms without γ that it is for.
        gate: the gate itself; ``gate.scale()`` is v.
        start: mean of v at insertion.
        parameters: names of the layer's own parameters in their order, also of those that are None.
    """

    name: str
    kind: str
    axis: int
    channels: int
    created: tuple[str, ...]
    side: Side
    norms: tuple[str, ...] = ()
    gate: Gate = field(init=False, repr=False)
    start: float = field(init=False, default=float("nan"))
    parameters: tuple[str, ...] = field(init=False, repr=False, default=())

    @property
    def label(self) -> str:
        """The name for tables, with "(input)" for gates on inputs."""
        name = self.name or "(the model)"
        return f"{name} (input)" if self.side == "input" else name

    @property
    def gate_parameters(self) -> int:
        """Number of values that the gate can learn."""
        return sum(p.numel() for p in self.gate.parameters() if p.requires_grad)


@dataclass(frozen=True)
class Refusal:
    """A module that was targeted but can take no gate, and why."""

    name: str
    reason: str


def listed(refusals: Iterable[Refusal]) -> str:
    """All ``refusals`` in one line, grouped by reason."""
    names: dict[str, list[str]] = {}
    for refusal in refusals:
        names.setdefault(refusal.reason, []).append(repr(refusal.name))
    return "; ".join(f"{', '.join(those)}: {reason}" for reason, those in names.items())


def created_affine(names: Iterable[str]) -> str:
    """The remark that the norms ``names`` got γ and β."""
    return (
        f"γ and β were created for {', '.join(map(repr, names))}: the fused model has parameters "
        "that the stock model lacks, so it is no longer the stock model"
    )


@dataclass(frozen=True, repr=False)
class Report:
    """The result of :func:`asr_core.insert_asr`; its repr is a plain-text table."""

    positions: tuple[Position, ...]
    refusals: tuple[Refusal, ...]
    preserved: bool

    def parameters(self) -> list[nn.Parameter]:
        """What the gates can learn, for an optimizer that holds the model's others already."""
        gates = (position.gate for position in self.positions)
        return [p for gate in gates for p in gate.parameters() if p.requires_grad]

    @property
    def names(self) -> list[str]:
        """Dotted names of the gated layers, in the model's order."""
        return [position.name for position in self.positions]

    @property
    def note(self) -> str:
        """What the insertion did to the scale of the outputs."""
        mean = sum(position.start for position in self.positions) / len(self.positions)
        if self.preserved:
            return f"outputs unchanged: the layers' parameters were divided by v (mean {mean:.3g})"
        return (
            f"gated outputs start at {mean:.3g} of their scale on average; for a trained model "
            "consider preserve=True"
        )

    @property
    def remarks(self) -> list[str]:
        """Remarks about norms without γ and β."""
        moved = [
            f"v of {', '.join(map(repr, p.norms))}, without γ, is in the inputs of {p.name!r}"
            for p in self.positions
            if p.norms
        ]
        created = [p.name for p in self.positions if p.created]
        return [*moved, created_affine(created)] if created else moved

    def __repr__(self) -> str:
        config = self.positions[0].gate.config
        head = ", ".join(f"{name}={value!r}" for name, value in config.items())
        rows: list[tuple[str, ...]] = [
            ("position", "kind", "axis", "channels", "gate parameters", "created")
        ]
        for p in self.positions:
            numbers = (str(p.axis), str(p.channels), f"{p.gate_parameters:,}")
            rows.append((p.label, p.kind, *numbers, ", ".join(p.created) or "-"))
        total = f"{sum(p.gate_parameters for p in self.positions):,}"
        rows.append((f"{len(self.positions)} in all", "", "", "", total, ""))
        lines = [f"ASR({head})", *aligned(rows), self.note, *self.remarks]
        lines += [f"no gate on {r.name!r}: {r.reason}" for r in self.refusals]
        return "\n".join(lines)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A plain-text table, one line for each row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
