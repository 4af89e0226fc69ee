"""A limit on the size of models that are built for a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from asr_core.errors import CheckpointError

_TIMES, _MORE = 16, 2**20
"""A model can have more numbers than its file: if branches were merged, or gates frozen."""


@contextlib.contextmanager
def no_larger_than(tensors: Mapping[str, Tensor], where: str) -> Iterator[None]:
    """In the block, refuse to build modules with many more parameters than ``tensors``.

    Parameters are counted as modules register them, before torch writes to their memory.

    Raises:
        CheckpointError: beginning with ``where``, in the middle of building.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    seen = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal seen
        seen += 0 if parameter is None else parameter.numel()
        if seen > _TIMES * held + _MORE:
            raise CheckpointError(
                f"{where}: it describes a model of more than {seen} numbers, but holds {held}"
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
