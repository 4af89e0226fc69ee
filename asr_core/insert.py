"""Putting ASR into a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from asr_core.errors import TargetError
from asr_core.gate import Gate
from asr_core.layers import LayerKind, kind_of
from asr_core.parametrization import attach
from asr_core.report import Position, Report
from asr_core.targets import Predicate, Targets, as_patterns, matches, no_match


def insert_asr(
    model: nn.Module,
    attention: str = "se",
    *,
    targets: Targets,
    exclude: str | Predicate | Sequence[str | Predicate] = (),
    delta: int = 1,
    psi: float = 0.1,
    activation: str = "sigmoid",
    attention_init: float | None = None,
) -> Report:
    """Multiply the output channels of the targeted layers by v = attention(ψ), in place."""
    modules = dict(model.named_modules(remove_duplicate=False))
    names = _select(modules, targets, exclude)
    gates = []
    for name in names:
        layer, kind = modules[name], _kind(modules[name])
        gate = Gate(
            kind.channels(layer),
            attention,
            delta=delta,
            psi=psi,
            activation=activation,
            attention_init=attention_init,
        )
        gates.append(gate.to(layer.weight.device, layer.weight.dtype))  # type: ignore[arg-type,operator,union-attr]
    positions = []
    for name, gate in zip(names, gates, strict=True):
        layer, kind = modules[name], _kind(modules[name])
        slots = [s for s in kind.slots(layer) if getattr(layer, s.tensor, None) is not None]
        attach(layer, gate, slots)
        positions.append(Position(name, kind.name, kind.axis, kind.channels(layer), gate))
    return Report(positions)


def _kind(layer: nn.Module) -> LayerKind:
    kind = kind_of(layer)
    if kind is None:
        raise TargetError(f"{type(layer).__name__} can take no gate")
    return kind


def _select(
    modules: dict[str, nn.Module], targets: Targets, exclude: Targets | Sequence[str | Predicate]
) -> list[str]:
    if targets == "auto":
        raise TargetError(
            "targets='auto' is not available yet: pass module names, globs or a callable"
        )
    candidates = {n: m for n, m in modules.items() if kind_of(m) is not None}
    chosen: set[str] = set()
    for pattern in as_patterns(targets):
        found = matches(pattern, candidates)
        if not found:
            raise no_match(pattern, "target", list(candidates))
        chosen.update(found)
    for pattern in as_patterns(exclude):
        found = matches(pattern, candidates)
        if not found:
            raise no_match(pattern, "exclude", list(candidates))
        chosen.difference_update(found)
    for name in chosen:
        if isinstance(modules[name]._modules.get("asr"), Gate):
            gate: Gate = modules[name].asr  # type: ignore[assignment]
            raise TargetError(f"{name!r} already has ASR, δ = {gate.config['delta']}")
        if getattr(modules[name], "weight", None) is None:
            raise TargetError(f"{name!r} has no weight")
    return [name for name in modules if name in chosen]
