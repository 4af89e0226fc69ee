"""From names, globs or predicates to layers."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Sequence

from torch import nn

from asr_core.asr.layers import LayerKind, gated_layer, kind_of, refusal_of
from asr_core.asr.report import Refusal
from asr_core.errors import TargetError

Predicate = Callable[[nn.Module, str], bool]
Targets = str | Predicate | Sequence[str | Predicate]
Modules = dict[str, nn.Module]


def select(
    modules: Modules, targets: Targets, exclude: Targets
) -> tuple[dict[str, tuple[nn.Module, LayerKind]], tuple[Refusal, ...]]:
    """The layers that ``targets`` match and ``exclude`` does not, in the order of ``modules``.

    Args:
        modules: the model's modules by dotted name.
        targets: names, globs, callables, or a list of these.
        exclude: the same.

    Returns:
        The layers by name, with their kinds, and the matched modules that can take no gate.

    Raises:
        TargetError: a pattern matches no layer that can take a gate, or nothing is left.
    """
    able = {name: module for name, module in modules.items() if not refusal_of(module)}
    meant: set[str] = set()
    chosen: set[str] = set()
    for pattern in as_patterns(targets):
        names = matches(pattern, modules)
        meant.update(names)
        chosen.update(_layers(pattern, "target", names, modules, able))
    for pattern in as_patterns(exclude):
        names = matches(pattern, modules)
        meant.difference_update(names)
        chosen.difference_update(_layers(pattern, "exclude", names, modules, able))
    if not chosen:
        raise TargetError(
            f"targets={targets!r} with exclude={exclude!r} leave no layer: pass module names, "
            "globs or a callable(module, name)"
        )
    layers = {}
    refusals = []
    for name, module in modules.items():
        kind = kind_of(module)
        if name in chosen and kind is not None:
            layers[name] = (module, kind)
        elif name in meant and name not in able and not module._modules:
            refusals.append(Refusal(name, refusal_of(module)))
    return layers, tuple(refusals)


def as_patterns(targets: Targets) -> list[str | Predicate]:
    """The patterns in ``targets``, as a list.

    Raises:
        TargetError: one is neither a name nor callable.
    """
    several = isinstance(targets, Iterable) and not isinstance(targets, str)
    patterns = list(targets) if several else [targets]  # type: ignore[arg-type]
    for pattern in patterns:
        if not isinstance(pattern, str) and not callable(pattern):
            raise TargetError(
                f"{pattern!r} is neither a module name or glob nor a callable(module, name)"
            )
    return patterns  # type: ignore[return-value]


def matches(pattern: str | Predicate, modules: Modules) -> list[str]:
    """The names among ``modules`` that ``pattern`` matches, in their order.

    A string is an exact dotted name, else a case-sensitive glob on the full dotted name, in which
    ``*`` crosses dots.
    """
    if not isinstance(pattern, str):
        return [name for name, module in modules.items() if pattern(module, name)]
    if pattern in modules:
        return [pattern]
    return [name for name in modules if fnmatch.fnmatchcase(name, pattern)]


def _layers(
    pattern: str | Predicate, what: str, names: list[str], modules: Modules, able: Modules
) -> set[str]:
    """The layers that take the gates of the modules ``names``."""
    layers = {gated_layer(name, modules[name])[0] for name in names if name in able}
    if layers:
        return layers
    if not isinstance(pattern, str):
        raise TargetError(f"{what} {pattern!r} is true for no layer that can take a gate")
    if len(names) == 1:
        raise TargetError(f"{what} {names[0]!r} can take no gate: {refusal_of(modules[names[0]])}")
    raise TargetError(
        f"{what} {pattern!r} matches no layer that can take a gate; {_hint(pattern, able)}"
    )


def _hint(pattern: str, able: Modules) -> str:
    core = pattern.strip("*.")
    close = difflib.get_close_matches(pattern, able, n=3, cutoff=0.6)
    close = close or [name for name in able if core and core in name][:3]
    if close:
        return f"close matches: {', '.join(map(repr, close))}"
    some = ", ".join(repr(name) for name in list(able)[:3])
    return f"the {len(able)} that can include {some}" if able else "the model has none"
