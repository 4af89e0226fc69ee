"""Loading the state of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import check_tensors


def load_optimizer(optimizer: torch.optim.Optimizer, state: Any, where: str) -> None:
    """Load the tensors of an optimizer's state dict; its options stay.

    Raises:
        CheckpointError: beginning with ``where``: not the state of this kind of optimizer, or of
            other parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    tensors = state.get("state") if isinstance(state, Mapping) else None
    # Empty before the first step, and for plain SGD.
    if not isinstance(tensors, dict) or (tensors and list(tensors) != [*range(len(parameters))]):
        raise CheckpointError(f"{where}: no optimizer state of {len(parameters)} parameters")
    for index, own in tensors.items():
        if not isinstance(own, dict) or own.keys() != tensors[0].keys():
            raise CheckpointError(f"{where}: the optimizer state of parameter {index} is {own!r}")
        for name, value in own.items():
            if value is None:  # momentum before the first step
                continue
            shape = () if name == "step" else tuple(parameters[index].shape)
            if not isinstance(value, Tensor) or value.shape != shape:
                given = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
                raise CheckpointError(
                    f"{where}: optimizer state {name} of parameter {index} is {given}, not {shape}"
                )
            check_tensors(f"{where}: optimizer state {index}", {name: value})
            if name == "step" and value < 1:
                raise CheckpointError(f"{where}: optimizer state {index} is after {value} steps")
    options = optimizer.state_dict()["param_groups"]
    try:
        optimizer.load_state_dict({"state": tensors, "param_groups": options})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: no state of its optimizer: {error}") from None
