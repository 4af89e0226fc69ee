"""Sweeps whose runs are finished at once, with made-up figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from finished import result, write_config
from tiny_classifier import forget_accelerator, register, tiny_data, tiny_recipe
from tiny_classifier import run as train_tiny

import asr_core.data
import asr_core.recipes
import robust.sweep.run
from asr_core.training import TrainConfig
from robust.cli import main
from robust.sweep import Results, Sweep
from robust.sweep.engine import ThisMachine

Figure = Callable[[TrainConfig], float]


class NotTrainedError(Exception):
    """Instead of training."""


def write_run(folder: Path, config: TrainConfig, top1: float, top5: float = 0.9) -> None:
    """The record of a finished run; validation has 0.01 more than test."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config)
    names = ("top1", "top5", "loss")
    values = dict(zip(names, (top1, top5, 1.0), strict=True))
    last = {f"validation_{name}": value + 0.01 for name, value in values.items()}
    (folder / "result.json").write_text(result(last=last, **values))


def finished(
    sweep: Sweep, folder: Path, top1: Figure, top5: Figure = lambda config: 0.9
) -> Results:
    """A sweep whose runs are all done."""
    runs = sweep.runs(folder)
    for run in runs.values():
        config = run.training.config
        write_run(run.folder, config, top1(config), top5(config))
    return Results(sweep, runs)


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

    def ended(self: ThisMachine, command: Sequence[str]) -> str:
        forget_accelerator()
        with pytest.raises(NotTrainedError):
            main.main(list(command[command.index("train") :]), standalone_mode=False)
        forget_accelerator()
        done = (Path(command[-1]) / "result.json").exists()
        return "" if done else "exit 2: robust: error: the loss is nan"

    monkeypatch.setattr(asr_core.training, "train", train)
    monkeypatch.setattr(asr_core.data, "open_data", lambda *others, **options: tiny_data())
    monkeypatch.setattr(ThisMachine, "run", ended)
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 60.0)
    return trained


def tiny_sweep() -> Sweep:
    """Of two real runs of the tiny recipe."""
    return Sweep(
        name="tiny", title="tiny", axes={"psi": (0.1, 0.9)}, fields={"attention": "ie"}, labels={},
        seeds=1,
    )  # fmt: skip


def trained_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """The metrics of the tiny sweep's runs, trained in this process in ``folder``, one by one."""
    register(monkeypatch)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 1.0)
    for each in tiny_sweep().runs(folder).values():
        train_tiny(each.training.config, each.folder)
        forget_accelerator()
    return tiny_metrics(folder)


def tiny_metrics(folder: Path) -> list[str]:
    """What the tiny sweep's runs in ``folder`` recorded, epoch by epoch."""
    runs = tiny_sweep().runs(folder).values()
    return [(each.folder / "metrics.csv").read_text() for each in runs]
