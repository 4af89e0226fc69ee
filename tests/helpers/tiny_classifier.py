"""Runs of a classifier so small that a whole one takes a fraction of a second."""

from __future__ import annotations

import functools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn

from asr_core.data import ImageSet, MemorySplit
from asr_core.models import BACKBONES, Backbone
from asr_core.recipes import Recipe
from asr_core.training import Result, TrainConfig, new_accelerator, train

CLASSES = 6
SIDE = 8


def net(norm: str, num_classes: int, *, dropout: float = 0.0) -> nn.Module:
    """Convolution, norm, ReLU, dropout, pooling, linear layer."""
    width = 8
    norms = {"bn": lambda: nn.BatchNorm2d(width), "gn": lambda: nn.GroupNorm(2, width)}
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, width, 3, stride=2, bias=False),
            norm=norms[norm](),
            relu=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            pool=nn.AdaptiveAvgPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(4 * width, num_classes),
        )
    )


OURS = {
    "tiny": Backbone(functools.partial(net, "bn"), ("norm",), options={"psi": 0.25}),
    "tiny-dropout": Backbone(functools.partial(net, "bn", dropout=0.3), ("norm",)),
    "tiny-gn": Backbone(functools.partial(net, "gn"), ("norm",)),
}


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the backbones known for a test."""
    for name, backbone in OURS.items():
        monkeypatch.setitem(BACKBONES._entries, name, backbone)


def forget_accelerator() -> None:
    """Accelerate keeps one state a process; a test's is its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def split(n: int, seed: int) -> MemorySplit:
    """Noise around a colour for each class: learnable, not trivial."""
    random = torch.Generator().manual_seed(seed)
    colours = torch.rand(CLASSES, 3, 1, 1, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(n) % CLASSES
    noise = torch.rand(n, 3, SIDE, SIDE, generator=random)
    images = (255 * (0.7 * colours[labels] + 0.3 * noise)).to(torch.uint8)
    return MemorySplit(images, labels, padding=1)


def tiny_data(name: str = "tiny", sizes: tuple[int, int, int] = (40, 13, 17)) -> ImageSet:
    train, validation, test = (split(n, seed) for seed, n in enumerate(sizes))
    return ImageSet(
        name=name,
        classes=tuple("abcdefghij"[:CLASSES]),
        image_size=SIDE,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.25),
        train=train,
        validation=validation,
        test=test,
    )


def tiny_recipe(**changes: Any) -> Recipe:
    """Two epochs of five steps of eight images."""
    recipe = Recipe(
        name="tiny",
        backbone="tiny",
        data="tiny",
        image_size=SIDE,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-3,
        schedule="cosine",
        epochs=2,
        batch_size=8,
    )
    return recipe.override(**changes) if changes else recipe


def tiny_config(recipe: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    return TrainConfig(recipe=tiny_recipe(**(recipe or {})), **{"attention": "ie", **changes})


def accelerator_for(config: TrainConfig, folder: Path, **options: Any) -> Accelerator:
    forget_accelerator()
    return new_accelerator(config, folder, device="cpu", **options)


def run(config: TrainConfig, folder: Path, data: ImageSet | None = None, **options: Any) -> Result:
    accelerator = accelerator_for(config, folder)
    return train(config, data or tiny_data(), folder, accelerator=accelerator, **options)


def weights(folder: Path, name: str = "last.pt") -> dict[str, Tensor]:
    """The model of a state on disk."""
    state: dict[str, Tensor] = torch.load(folder / name, weights_only=True)["model"]
    return state


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
