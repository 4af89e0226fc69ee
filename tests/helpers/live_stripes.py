"""Runs of a ResNet11 on a few small pictures, by the name "small"."""

from __future__ import annotations

import signal

import pytest
import torch
from tiny_classifier import forget_accelerator, tiny_recipe

import asr_core.recipes
from asr_core.data import DATASETS, ImageSet, MemorySplit
from asr_core.training import learner

OPTIONS = ("--recipe", "small", "--device", "cpu", "--quiet")


def data() -> ImageSet:
    """Pictures of unequal contrast, in five classes."""
    return ImageSet(
        name="small",
        classes=tuple("abcde"),
        image_size=32,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        train=_split(20, 0),
        validation=_split(13, 1),
        test=_split(17, 2),
    )


def _split(n: int, seed: int) -> MemorySplit:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, 32, 32, generator=generator)
    images = images * torch.linspace(0.1, 1, n)[:, None, None, None]
    return MemorySplit((images * 255).to(torch.uint8), torch.arange(n) % 5)


def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the recipe and the data set known for a test: two epochs of five steps."""
    forget_accelerator()
    recipe = tiny_recipe(name="small", backbone="resnet11", data="small", image_size=32)
    recipe = recipe.override(batch_size=4)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", {"small": recipe}.__getitem__)
    monkeypatch.setitem(DATASETS._entries, "small", lambda source: data())


def press_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C in a step."""
    step, calls = learner.Learner.step, []

    def pressed(self: learner.Learner, *args: object, **options: object) -> learner.Figures:
        calls.append(1)
        if len(calls) == steps:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(learner.Learner, "step", pressed)
