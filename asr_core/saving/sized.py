"""A limit on the models that a file may have built."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from asr_core.errors import CheckpointError

_TIMES, _MORE = 16, 2**20
"""A model has more numbers than its file where branches were merged, or a gate became constant."""


@contextlib.contextmanager
def no_larger_than(tensors: Mapping[str, Tensor], where: str) -> Iterator[None]:
    """While it lasts, no modules of many more parameters than ``tensors`` are built.

    Parameters are counted as modules get them: torch has reserved their memory then, but not yet
    written to it.

    Raises:
        CheckpointError: beginning with ``where``, in the middle of the building.
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
