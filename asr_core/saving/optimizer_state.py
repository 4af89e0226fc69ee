"""The state of an optimizer, read from a file and put in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import check_tensors


def load_optimizer(optimizer: torch.optim.Optimizer, state: Any, where: str) -> None:
    """Put the tensors of an optimizer's state dict in place; its own options stay.

    Raises:
        CheckpointError: beginning with ``where``: not the state of such an optimizer over such
            parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = state.get("state") if isinstance(state, Mapping) else None
    # Before the first step there is none, and never for plain SGD.
    if not isinstance(found, dict) or (found and list(found) != list(range(len(parameters)))):
        raise CheckpointError(f"{where}: no optimizer state of {len(parameters)} parameters")
    for index, own in found.items():
        if not isinstance(own, dict) or own.keys() != found[0].keys():
            raise CheckpointError(f"{where}: the optimizer state of parameter {index} is {own!r}")
        for name, value in own.items():
            if value is None:  # a momentum that has not begun
                continue
            shape = () if name == "step" else tuple(parameters[index].shape)
            if not isinstance(value, Tensor) or value.shape != shape:
                said = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
                raise CheckpointError(
                    f"{where}: optimizer state {name} of parameter {index} is {said}, not {shape}"
                )
            check_tensors(f"{where}: optimizer state {index}", {name: value})
            if name == "step" and value < 1:
                raise CheckpointError(f"{where}: optimizer state {index} is after {value} steps")
    options = optimizer.state_dict()["param_groups"]
    try:
        optimizer.load_state_dict({"state": found, "param_groups": options})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: no state of its optimizer: {error}") from None
