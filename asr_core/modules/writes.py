"""Detects writes into a computed tensor, which reach no parameter and are lost.

Version counters and hooks miss some writes: those by ``.data``, NumPy and their views. So each
tensor is kept with a copy of its values for as long as others hold it.
"""

from __future__ import annotations

import sys
import warnings

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
Kept = tuple[Tensor, Tensor]
"""The tensor object itself, because ``.data =`` changes that alone, and a copy of its bits."""


class Given:
    """Computed tensors that readers were given."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def add(self, tensor: Tensor) -> None:
        """Remember a newly computed tensor."""
        if _has_values(tensor):
            with _disable_current_modes():
                self._kept.append((tensor, _bits(tensor).clone()))

    def written(self) -> bool:
        """Whether one of them was written to since; each write is reported once.

        Tensors that nobody else holds any longer are forgotten.
        """
        if not self._kept or _is_capturing(self._kept[0][0]):
            return False
        with _disable_current_modes():  # keep the comparison out of traces
            changed = [_changed(tensor, bits) for tensor, bits in self._kept]
        references = [_references(kept) for kept in self._kept]
        if any(changed):
            self._kept = [kept for kept, new in zip(self._kept, changed, strict=True) if not new]
            return True
        alone = _references((torch.empty(1, device="cpu"), torch.empty(0, device="cpu")))
        self._kept = [
            kept
            for kept, (python, storage) in zip(self._kept, references, strict=True)
            if python > alone[0] or storage > alone[1]
        ]
        return False


def _has_values(tensor: Tensor) -> bool:
    """Whether it holds values: not under torch.func, nor fake, meta or of a subclass."""
    if type(tensor) is not Tensor or _is_capturing(tensor):
        return False
    try:
        return tensor.data_ptr() != 0
    except RuntimeError:
        return False


def _is_capturing(tensor: Tensor) -> bool:
    """Whether a CUDA graph is being captured, when values cannot be compared."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def _bits(tensor: Tensor) -> Tensor:
    """The values as integers, so that NaN equals itself."""
    return tensor.detach().view(_BITS[tensor.element_size()])


def _changed(tensor: Tensor, bits: Tensor) -> bool:
    if not tensor.is_inference() and tensor._version > 0:
        return True
    now = _bits(tensor)
    if now.dtype != bits.dtype or now.device != bits.device or not torch.equal(now, bits):
        return True
    return _has_own_gradient(tensor)


def _has_own_gradient(tensor: Tensor) -> bool:
    """Whether ``.grad`` was set by hand: autograd fills it only if the reader asked for it."""
    if tensor.retains_grad or (tensor.is_leaf and tensor.requires_grad):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is no leaf
        return tensor.grad is not None


def _references(kept: Kept) -> tuple[int, int]:
    """The number of references to the tensor, and of tensors on its memory."""
    storage = kept[0].untyped_storage()
    return sys.getrefcount(kept[0]), torch._C._storage_Use_Count(storage._cdata)
