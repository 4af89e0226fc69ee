"""From names, globs or a predicate to the modules that they mean."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Sequence

from torch import nn

from asr_core.errors import TargetError

Predicate = Callable[[nn.Module, str], bool]
Targets = str | Predicate | Sequence[str | Predicate]


def as_patterns(targets: Targets) -> list[str | Predicate]:
    """One pattern or several, as a list.

    Raises:
        TargetError: something that is neither a name nor callable.
    """
    several = isinstance(targets, Iterable) and not isinstance(targets, str)
    patterns = list(targets) if several else [targets]  # type: ignore[arg-type]
    for pattern in patterns:
        if not isinstance(pattern, str) and not callable(pattern):
            raise TargetError(
                f"target {pattern!r} is neither a module name or glob nor a callable(module, name)"
            )
    return patterns  # type: ignore[return-value]


def matches(pattern: str | Predicate, modules: dict[str, nn.Module]) -> list[str]:
    """The names among ``modules`` that ``pattern`` means, in their order.

    A string is an exact dotted name, else a case-sensitive glob on the full dotted name, in which
    ``*`` crosses dots.
    """
    if not isinstance(pattern, str):
        return [name for name, module in modules.items() if pattern(module, name)]
    if pattern in modules:
        return [pattern]
    return [name for name in modules if fnmatch.fnmatchcase(name, pattern)]


def no_match(pattern: str | Predicate, what: str, candidates: list[str]) -> TargetError:
    """The error for a ``pattern`` that means none of the ``candidates``."""
    if not isinstance(pattern, str):
        return TargetError(f"{what} {pattern!r} is true for no layer that can take a gate")
    close = difflib.get_close_matches(pattern, candidates, n=3, cutoff=0.4)
    hint = f"close matches: {', '.join(close)}" if close else "the model has none"
    if not close and candidates:
        hint = f"the first of {len(candidates)} that could: {', '.join(candidates[:3])}"
    return TargetError(f"{what} {pattern!r} matches no layer that can take a gate; {hint}")
