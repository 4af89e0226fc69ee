"""Tiny training runs on disk for the commands that test classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_classifier import register, run, tiny_config, tiny_data

from asr_core.data import DATASETS, ImageSet
from asr_core.data.source import Source
from robust.cli import main
from robust.norm_noise.training import parse_train_noise

PLAIN, ASR = {"mode": "plain"}, {"mode": "asr"}


def open_tiny(source: Source) -> ImageSet:
    source.check_size("tiny", 8)
    return tiny_data()


def make_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backbone and the data set "tiny", for a test."""
    register(monkeypatch)
    monkeypatch.setitem(DATASETS._entries, "tiny", open_tiny)


def train(folder: Path, *, noise: tuple[str, str] | None = None, **config: object) -> Path:
    """A run in ``folder``, under noise where it is given."""
    disturbance = parse_train_noise(*(noise or (None, None)))
    recipe = {"epochs": 8, **disturbance.batch_size()}
    own = tiny_config(recipe, **config)  # type: ignore[arg-type]
    run(own, folder, noise=disturbance.context(own.seed), setting=disturbance.setting())
    return folder


def several(folder: Path) -> dict[str, Path]:
    """Plain and ASR of two seeds, and plain trained under each noise."""
    with pytest.MonkeyPatch.context() as patch:
        make_known(patch)
        found = {
            f"{name}-{seed}": train(folder / f"{name}-{seed}", seed=seed, **mode)
            for name, mode in (("plain", PLAIN), ("asr", ASR))
            for seed in (0, 1)
        }
        for noise in (("constant", "0.5,0.5"), ("random", "uniform"), ("batch", "4")):
            name = f"plain-{noise[0]}"
            found[name] = train(folder / name, noise=noise, **PLAIN)
    return found


def command(name: str) -> Callable[..., Result]:
    """``robust NAME ARGUMENTS``, quietly."""

    def invoke(*arguments: object) -> Result:
        line = [name, *map(str, arguments), "--quiet"]
        return CliRunner().invoke(main, line, prog_name="robust")

    return invoke
