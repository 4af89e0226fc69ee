"""The outputs of the modules inside a model."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

Output = tuple[str, Tensor]
"""The name of a module, and the output of a call."""


@contextlib.contextmanager
def watching(
    model: nn.Module, names: Collection[str], watch: Callable[[str, Any], None]
) -> Iterator[None]:
    """Inside the context, call ``watch(name, output)`` after each call of the modules ``names``."""

    def hook(name: str) -> Callable[..., None]:
        return lambda module, args, output: watch(name, output)

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def shared_names(a: nn.Module, b: nn.Module, skip: Collection[str] = ()) -> set[str]:
    """The names of modules that both models have, without those in ``skip``."""
    both = {name for name, _ in a.named_modules()} & {name for name, _ in b.named_modules()}
    return both - set(skip)


def outputs_of(model: nn.Module, inputs: tuple[Any, ...], names: Collection[str]) -> list[Output]:
    """Run ``model``; returns the tensors that the modules ``names`` give, in order of return."""
    outputs: list[Output] = []

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            # A copy, because an in-place ReLU may follow.
            outputs.append((name, output.detach().clone()))

    with watching(model, names, keep):
        model(*inputs)
    return outputs


def paired(
    first: Iterable[Output], second: Iterable[Output]
) -> Iterator[tuple[str, Tensor | None, Tensor]]:
    """The name, the output in ``first`` and that in ``second``, for each call in ``second``.

    Modules without any output in ``first`` are left out; a missing call is None.
    """
    calls: dict[str, deque[Tensor]] = defaultdict(deque)
    for name, output in first:
        calls[name].append(output)
    for name, output in second:
        if name in calls:
            yield name, calls[name].popleft() if calls[name] else None, output
