"""A model's forward as a graph whose nodes are its layers, by dotted name."""

from __future__ import annotations

import inspect
from typing import Any

from torch import fx, nn

from asr_core.activations import is_activation
from asr_core.copies import copy_structure
from asr_core.errors import TargetError
from asr_core.layers import kind_of
from asr_core.parity import tensors_of
from asr_core.placement.record import image_for, record


class _Tracer(fx.Tracer):
    """Stops at every layer that can take a gate, and remembers which modules it is inside of."""

    # As values, buffers would be changed by a forward that updates them.
    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = kind_of(m) is not None or is_activation(m)
        return own or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()  # not after an exception, which leaves the path to what failed
        return result


def trace(model: nn.Module) -> fx.Graph:
    """The graph of ``model``'s forward in eval mode, optional arguments at their defaults.

    Nothing is computed. Layers of :data:`asr_core.layers.KINDS`, subclasses included, are nodes,
    and so are activations; other modules are followed into, unless they are torch's own. The model
    is as before.

    Raises:
        TargetError: the forward depends on values or shapes, so that it has no one graph; the
            module where tracing failed is named.
    """
    tracer = _Tracer()
    try:
        plain = copy_structure(model).eval()
        return tracer.trace(plain, concrete_args=_defaults(plain))
    except Exception as error:  # A forward may raise anything on a stand-in for its input.
        raise _untraceable(model, tracer.inside, error, "torch.fx cannot trace it") from error


def follow(model: nn.Module, example: Any = None) -> fx.Graph:
    """The graph of ``model``'s forward as :func:`trace` gives it or, where it depends on shapes,
    recorded on an input that has a shape but no values; that one is for reading, not for running.

    Args:
        model: as for :func:`trace`.
        example: an input, or a tuple of them, to record the forward on. None: try :func:`trace`,
            then 2 images of the size that the model names (timm's ``pretrained_cfg``) or 224 × 224.

    Raises:
        TargetError: neither succeeds; the module where it failed is named.
    """
    if example is None:
        try:
            return trace(model)
        except TargetError:
            example = image_for(model)
            if example is None:
                raise
    inside: list[str] = []
    try:
        return record(copy_structure(model).eval(), example, inside)
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_of(example))
        what = f"it cannot be followed with an input of {shapes}"
        raise _untraceable(model, inside, error, what) from error


def _untraceable(model: nn.Module, inside: list[str], error: Exception, what: str) -> TargetError:
    name = inside[-1] if inside else ""
    where = f"{name!r}, a {type(model.get_submodule(name)).__name__}" if name else "its forward"
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return TargetError(
        f"targets='auto' needs the graph of {type(model).__name__}, but {what}: in {where}: "
        f"{line}. Pass another example input, or name the layers instead, {how_to(model)}"
    )


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
