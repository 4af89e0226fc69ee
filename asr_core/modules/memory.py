"""Which tensors share memory, by the addresses of their elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

Range = tuple[torch.device, int, int]
_PLAIN = (Tensor, nn.Parameter, nn.Buffer)


def is_plain(tensor: Tensor) -> bool:
    """Whether ``tensor`` is strided memory, and of no class with other behaviour."""
    return type(tensor) in _PLAIN and tensor.layout is torch.strided


def tensors_in(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers and tensors in plain attributes, by dotted name."""
    for name, module in modules:
        for own in (module._parameters, module._buffers, vars(module)):
            for attribute, value in own.items():
                if isinstance(value, Tensor):
                    yield f"{name}.{attribute}".lstrip("."), value


def address_range(tensor: Tensor) -> Range | None:
    """The device, the first byte and the one after the last; None for a tensor without memory."""
    if tensor.layout is not torch.strided or tensor.numel() == 0:
        return None
    try:
        start = tensor.data_ptr()
    except RuntimeError:  # a wrapper around other tensors
        return None
    return (tensor.device, start, start + _reach(tensor) * tensor.element_size()) if start else None


class Memory:
    """Named tensors, which can be looked up by the memory that they share."""

    def __init__(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        self._tensors = [(name, tensor, address_range(tensor)) for name, tensor in tensors]

    def sharing(self, tensor: Tensor) -> dict[str, Tensor]:
        """The tensors that a write to ``tensor`` would change, itself included, by name."""
        own = address_range(tensor)
        return {
            name: other
            for name, other, place in self._tensors
            if other is tensor or (_meet(own, place) and _overlap(tensor, other))
        }


def _meet(a: Range | None, b: Range | None) -> bool:
    return a is not None and b is not None and a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors whose ranges meet have an element in common."""
    size, apart = a.element_size(), b.data_ptr() - a.data_ptr()
    if size != b.element_size() or apart % size or (_is_dense(a) and _is_dense(b)):
        return True
    # Interleaved columns, say, have no element in common.
    return bool(torch.isin(_places(a), _places(b) + apart // size).any())


def overlaps_itself(tensor: Tensor) -> bool:
    """Whether elements of ``tensor`` share memory, as in an expanded one."""
    if address_range(tensor) is None or _is_dense(tensor):
        return False
    return _places(tensor).unique().numel() < tensor.numel()


def _reach(tensor: Tensor) -> int:
    """Number of elements from the first to the last in memory."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps)


def _is_dense(tensor: Tensor) -> bool:
    """Whether its elements fill its range, each once, in any order of axes."""
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != reach:
                return False
            reach += (size - 1) * stride
    return True


def _places(tensor: Tensor) -> Tensor:
    """The offset of each element from the first."""
    every = torch.arange(_reach(tensor), device="cpu")
    return every.as_strided(tensor.shape, tensor.stride()).flatten()
