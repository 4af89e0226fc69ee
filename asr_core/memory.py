"""Tensors that lie in the same memory: whole, or as views into each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

_PLAIN = (Tensor, nn.Parameter, nn.Buffer)


def is_plain(tensor: Tensor) -> bool:
    """Whether ``tensor`` is strided memory, and of no class that does something of its own."""
    return type(tensor) in _PLAIN and tensor.layout is torch.strided


class Memory:
    """Where tensors lie, with a name for each."""

    def __init__(self, named: Iterable[tuple[str, Tensor]]) -> None:
        self._named: dict[int, list[tuple[str, Tensor]]] = defaultdict(list)
        for name, tensor in named:
            self._named[_storage(tensor)].append((name, tensor))

    def sharing(self, tensor: Tensor) -> list[str]:
        """The names of all that shares a byte with ``tensor``, also those of itself."""
        return [name for name, other in self._named[_storage(tensor)] if _overlap(tensor, other)]


def tensors_in(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers and tensors that are plain attributes, by dotted name."""
    for name, module in modules:
        for own in (module._parameters, module._buffers, vars(module)):
            for attribute, value in own.items():
                if isinstance(value, Tensor):
                    yield f"{name}.{attribute}".lstrip("."), value


def _storage(tensor: Tensor) -> int:
    # Tensors without memory (meta) or without strides are nobody's but their own.
    return (is_plain(tensor) and tensor.untyped_storage().data_ptr()) or id(tensor)


def _overlap(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    (start, end), (other, last) = _range(a), _range(b)
    return start < last and other < end


def _range(tensor: Tensor) -> tuple[int, int]:
    """First byte in the storage, and the one behind the last."""
    if tensor.numel() == 0:
        return 0, 0
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    start, end = tensor.storage_offset(), tensor.storage_offset() + reach + 1
    return int(start * tensor.itemsize), int(end * tensor.itemsize)
