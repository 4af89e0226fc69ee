"""Changes to modules that happen whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def all_or_nothing(modules: Iterable[nn.Module], tensors: Iterable[Tensor] = ()) -> Iterator[None]:
    """Undo the body's changes if it raises: of the modules' classes, parameters, children and
    hooks, and of the tensors' values.
    """
    saved = [(module, module.__class__, dict(vars(module))) for module in modules]
    # The same dictionaries are restored, since handles of hooks refer to them.
    inner = [
        (value, value.copy())
        for _, _, attributes in saved
        for value in attributes.values()
        if isinstance(value, (dict, set))
    ]
    values = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    except BaseException:
        for module, cls, attributes in saved:
            module.__class__ = cls
            vars(module).clear()
            vars(module).update(attributes)
        for container, content in inner:
            container.clear()
            container.update(content)
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
        raise
