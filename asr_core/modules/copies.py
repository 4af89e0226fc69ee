"""Copies of models, also of those that keep a result of their forward, which deepcopy refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def copy_model(model: nn.Module) -> nn.Module:
    """A deep copy; results that a module keeps (weight_norm's ``weight``) lose their graph."""
    return copy.deepcopy(model, {id(t): t.detach().clone() for t in _kept(model) if not t.is_leaf})


def copy_structure(model: nn.Module) -> nn.Module:
    """A copy that shares all tensors with ``model``, but no other attribute."""
    tensors = [*model.parameters(), *model.buffers(), *_kept(model)]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def become(module: nn.Module, other: nn.Module) -> None:
    """Turn ``module`` into ``other`` in place, for every reference to it."""
    module.__class__ = type(other)
    module.__dict__ = other.__dict__


def kept_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors in the plain attributes of ``module``, by name; also in lists, tuples and dicts."""
    for name, value in attributes(module).items():
        yield from ((name, tensor) for tensor in _inside(value, set()))


def attributes(module: nn.Module) -> dict[str, Any]:
    """The attributes of ``module`` other than its parameters, buffers and modules."""
    registered = ("_parameters", "_buffers", "_modules")
    return {name: value for name, value in vars(module).items() if name not in registered}


def _inside(value: Any, seen: set[int]) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _inside(item, seen)


def _kept(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        yield from (tensor for _, tensor in kept_tensors(module))
