"""A small gated resnet18 on disk, trained by nobody but with values that are not the initial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from asr_core import insert_asr
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from robust.models.names import build_model

RESNET18 = StockModel("resnet18", {"num_classes": 10}, (3, 32, 32))


def gated(stock: StockModel = RESNET18, targets: str = "layer*.*.bn2") -> nn.Module:
    model = build_model(stock.name, stock.arguments)
    randomise(model)
    insert_asr(model, targets=targets)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("asr.psi"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


def randomise(model: nn.Module) -> None:
    """Weights, affines and running statistics away from their start, none of them extreme."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.ndim == 1 and value.is_floating_point():
                start = 0.0 if name.endswith(("bias", "running_mean")) else 1.0
                value.copy_(start + 0.2 * torch.rand(value.shape, generator=generator))
            elif value.is_floating_point():
                fan_in = value[0].numel()
                value.copy_(torch.randn(value.shape, generator=generator) * (2 / fan_in) ** 0.5)


def save_gated(path: Path, **arguments: Any) -> nn.Module:
    model = gated(**arguments)
    save_model(path, model, arguments.get("stock", RESNET18))
    return model
