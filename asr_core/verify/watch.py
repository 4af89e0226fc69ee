"""Watching what the modules inside a model give."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

from torch import Tensor, nn


@contextlib.contextmanager
def watching(
    model: nn.Module, names: Collection[str], watch: Callable[[str, Any], None]
) -> Iterator[None]:
    """``watch(name, output)`` after each call of a module among ``names``, inside the context."""

    def hook(name: str) -> Callable[..., None]:
        return lambda module, args, output: watch(name, output)

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def shared_names(a: nn.Module, b: nn.Module, skip: Collection[str] = ()) -> set[str]:
    """The names of modules that both models have, without those in ``skip``."""
    both = {name for name, _ in a.named_modules()} & {name for name, _ in b.named_modules()}
    return both - set(skip)


class Recorded:
    """The outputs of one model's modules, to be taken out again call by call."""

    def __init__(self) -> None:
        self._outputs: dict[str, list[Tensor]] = defaultdict(list)
        self._calls: dict[str, int] = defaultdict(int)

    def record(self, name: str, output: Any) -> None:
        """Keep an output, if it is a tensor."""
        if isinstance(output, Tensor):
            # A copy: an in-place ReLU behind would write into it.
            self._outputs[name].append(output.detach().clone())

    def has(self, name: str) -> bool:
        """Whether outputs of the module ``name`` were kept."""
        return name in self._outputs

    def next(self, name: str) -> Tensor | None:
        """The output of the call of ``name`` that was not taken yet; None where it had no more."""
        call = self._calls[name]
        self._calls[name] += 1
        outputs = self._outputs.get(name, [])
        return outputs[call] if call < len(outputs) else None
