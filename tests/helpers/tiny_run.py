"""Training runs so small that a whole one takes a fraction of a second."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import robust.training.style
import styletransfer.train
from styletransfer.images.embedded import held_out


def make_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate on one small picture, and save after every step."""
    monkeypatch.setattr(robust.training.style, "UNSEEN", ("beetle",))
    monkeypatch.setattr(robust.training.style, "held_out", functools.partial(held_out, size=64))
    monkeypatch.setattr(robust.training.style, "validation", lambda: [held_out("cat", size=64)])
    monkeypatch.setattr(robust.training.style, "SAVE_EVERY", 1)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (80, 70)) -> Path:
    """Write an image of random blocks, width by height."""
    blocks = np.random.default_rng(seed).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Call ``act`` in the middle of a step, counted from the first of the next run."""
    draw = styletransfer.train.draw_crops
    steps: Iterator[int] = iter(range(1000))

    def draw_and_act(*args: object, **options: object) -> torch.Tensor:
        if next(steps) == step:
            act()
        return draw(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(styletransfer.train, "draw_crops", draw_and_act)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Raise ``error`` in the middle of a step."""

    def fail() -> None:
        raise error

    at_step(monkeypatch, step, fail)


def press_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Press Ctrl-C in the middle of a step."""
    at_step(monkeypatch, step, lambda: signal.raise_signal(signal.SIGINT))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The finished network's tensors."""
    return load_file(folder / "network.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
