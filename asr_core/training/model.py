"""The model of a run: a backbone in the run's mode, on images in [0, 1]."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from asr_core.asr.gate import CONTROLS
from asr_core.draws import Key, generator
from asr_core.errors import InputError
from asr_core.models import BACKBONES, Normalized, build
from asr_core.models.named import named
from asr_core.placement.targets import select
from asr_core.saving.model_facts import Made, StockModel
from asr_core.training.config import DataFacts, TrainConfig


def new_model(config: TrainConfig, data: DataFacts) -> Normalized:
    """The untrained model, on the CPU; equal seeds give equal weights.

    The backbone has the same initial weights with and without ASR: gates are drawn after it.

    Raises:
        InputError: the backbone cannot have the mode's attention, or has no γ to start at 0.
    """
    recipe = config.recipe
    classes = len(data.classes)
    with seeded("weights", config.seed):
        mode = "live" if config.live else "plain"
        model = build(recipe.backbone, classes, mode=mode, attention=config.attention)
        if config.zero_gamma:
            # Before insertion, since it has no effect on a gated layer.
            zero_last_gamma(model, recipe.backbone)
        if config.gated:
            options: dict[str, Any] = {} if config.psi is None else {"psi": config.psi}
            if config.mode in CONTROLS:
                options["control"] = config.mode
            backbone = BACKBONES[recipe.backbone]
            backbone.insert(model, config.attention, delta=config.delta, **options)
    return Normalized(model, data.mean, data.std)


def stock_model(config: TrainConfig, data: DataFacts) -> StockModel:
    """The run's model without its gates, for its file."""
    return StockModel(
        named(config.recipe.backbone, config.attention if config.live else None),
        {"num_classes": len(data.classes)},
        (3, data.image_size, data.image_size),
        mean=data.mean,
        std=data.std,
    )


def made(config: TrainConfig, data: DataFacts) -> Made:
    """How the run makes its model, for the model's file."""
    recipe = config.recipe
    how: dict[str, Any] = {
        "recipe": recipe.name,
        "data": data.name,
        **dict(zip(("training images", "validation images"), data.sizes, strict=False)),
        "mode": config.mode,
    }
    if config.mode != "plain":
        how["attention"] = config.attention
    how |= {
        "seed": config.seed,
        "epochs": recipe.epochs,
        "batch size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "learning rate": recipe.lr,
        "weight decay": recipe.weight_decay,
        "schedule": recipe.schedule,
        "precision": "float32" if config.precision == "no" else config.precision,
    }
    return Made(how=how)


def zero_last_gamma(model: nn.Module, backbone: str) -> list[str]:
    """Set γ of the last norm of each residual branch to 0, in place; returns the norms' names.

    Each block then starts as its shortcut (Goyal et al. 2017, arXiv 1706.02677, sec. 5.1).

    Args:
        model: ``backbone``, plain or with live attention, without ASR.
        backbone: name in :data:`asr_core.models.BACKBONES`.

    Raises:
        InputError: the backbone has no residual branch that ends in a norm.
    """
    modules = dict(model.named_modules())
    layers, _ = select(modules, BACKBONES[backbone].targets, ())
    # Residual blocks, ours and torchvision's, have a shortcut; ASR is at the end of the branch.
    blocks = [modules[name.rpartition(".")[0]] for name in layers]
    if not all(hasattr(block, "downsample") for block in blocks):
        raise InputError(
            f"{backbone!r} has no residual branches that end in a norm, whose γ could start at 0; "
            "leave zero_gamma out"
        )
    for name in layers:
        nn.init.zeros_(model.get_submodule(name).weight)  # type: ignore[arg-type]
    return list(layers)


@contextlib.contextmanager
def seeded(*parts: Key, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's random state by ``parts`` in the block, and restore it after.

    Args:
        parts: whole numbers and strings that name the draws, as in :mod:`asr_core.draws`.
        device: a device to seed besides the CPU.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    seed = generator(*parts).initial_seed()
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also seed devices that are not restored.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield
