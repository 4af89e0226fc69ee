"""A model's forward as a graph whose nodes are its layers, by dotted name."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from torch import fx, nn

from asr_core.errors import TargetError
from asr_core.layers import kind_of
from asr_core.parity import evaluating


class _Tracer(fx.Tracer):
    """Stops at every layer that can take a gate, and remembers which modules it is inside of."""

    # As values, buffers would be changed by a forward that updates them.
    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return kind_of(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()  # not after an exception, which leaves the path to what failed
        return result


def trace(model: nn.Module) -> fx.Graph:
    """The graph of ``model``'s forward in eval mode, optional arguments at their defaults.

    Nothing is computed. Layers of :data:`asr_core.layers.KINDS`, subclasses included, are nodes;
    other modules are followed into, unless they are torch's own. The model is as before.

    Raises:
        TargetError: the forward depends on values, so that it has no one graph; the module where
            tracing failed is named.
    """
    tracer = _Tracer()
    try:
        with evaluating(model), _restored(model):
            return tracer.trace(model, concrete_args=_defaults(model))
    except Exception as error:  # A forward may raise anything on a stand-in for its input.
        name = tracer.inside[-1] if tracer.inside else ""
        where = f"{name!r}, a {type(model.get_submodule(name)).__name__}" if name else "its forward"
        raise TargetError(
            f"targets='auto' needs the graph of {type(model).__name__}, but torch.fx cannot trace "
            f"it: in {where}: {_first_line(error)}. Name the layers instead, {how_to(model)}"
        ) from error


def how_to(model: nn.Module) -> str:
    """How to name layers of ``model`` in ``targets``, with some that it has."""
    able = [name for name, module in model.named_modules() if name and kind_of(module) is not None]
    some = f"; among its layers are {', '.join(map(repr, able[-3:]))}" if able else ""
    return (
        "for example targets='layer*.bn3' or targets=lambda module, name: name.endswith('bn3')"
        f"{some}"
    )


def _defaults(model: nn.Module) -> dict[str, Any]:
    parameters = inspect.signature(model.forward).parameters.values()
    simple = (type(None), bool, int, float, str)
    return {p.name: p.default for p in parameters if isinstance(p.default, simple)}


@contextlib.contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Attributes that tracing or a forward sets (torch.fx keeps constants there) go afterwards."""
    before = [(module, dict(module.__dict__)) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
