"""Sweeps whose runs are finished at once, with made-up figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_classifier import forget_accelerator, tiny_data

import asr_core.data
import asr_core.training
import robust.sweep.cells
import robust.sweep.run
from asr_core.training import TrainConfig
from robust.cli import main
from robust.sweep import Cell, Results, Sweep

Figure = Callable[[TrainConfig], float]


class NotTrainedError(Exception):
    """Instead of training."""


def write_run(folder: Path, config: TrainConfig, top1: float, top5: float = 0.9) -> None:
    """The record of a finished run; validation has 0.01 more than test."""
    folder.mkdir(parents=True)
    whole = {"schema": 1, "config": config.as_dict(), "data": {}, "setting": {}}
    (folder / "config.json").write_text(json.dumps(whole))
    names = ("top1", "top5", "loss")
    values = dict(zip(names, (top1, top5, 1.0), strict=True))
    last = {f"validation_{name}": value + 0.01 for name, value in values.items()}
    result = {"test": {**values, "images": 1800}, "last": last, "train_seconds": 30.0}
    (folder / "result.json").write_text(json.dumps(result))


def finished(
    sweep: Sweep, folder: Path, top1: Figure, top5: Figure = lambda config: 0.9
) -> Results:
    """A sweep whose runs are all done."""
    runs = sweep.runs(folder)
    for run in runs:
        write_run(run.cell.folder, run.config, top1(run.config), top5(run.config))
    return Results(sweep, tuple(runs))


def fake_runs(
    monkeypatch: pytest.MonkeyPatch, top1: Figure, fails: Callable[[TrainConfig], bool]
) -> list[TrainConfig]:
    """Let `robust train` write made-up results, or fail; returns what it was told to train."""
    trained: list[TrainConfig] = []

    def train(config: TrainConfig, data: Any, folder: Path, **options: Any) -> None:
        trained.append(config)
        if not fails(config):
            write_run(folder, config, top1(config))
        raise NotTrainedError

    def run(cell: Cell, device: str) -> str:
        line = ["train", *cell.arguments, "--device", device, "--quiet", "--out", str(cell.folder)]
        forget_accelerator()
        with pytest.raises(NotTrainedError):
            main.main(line, standalone_mode=False)
        forget_accelerator()
        return "" if cell.done else "exit 2: robust: error: the loss is nan"

    monkeypatch.setattr(asr_core.training, "train", train)
    monkeypatch.setattr(asr_core.data, "open_data", lambda *others, **options: tiny_data())
    monkeypatch.setattr(robust.sweep.cells, "_train", run)
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 60.0)
    return trained
