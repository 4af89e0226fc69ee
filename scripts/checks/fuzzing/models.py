"""Checkpoints and metadata: files that the product's own writers made, damaged one at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import click
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from asr_core import insert_asr
from asr_core.data import open_data
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from asr_core.stripes import AttentionRecorder
from asr_core.training import TrainConfig, new_accelerator, train
from fuzzing.case import Case, Files, Special
from fuzzing.damage import (
    damaged_bytes,
    damaged_json,
    damaged_safetensors,
    damaged_torch,
    malicious,
    torch_bytes,
)
from fuzzing.images import written
from robust.cli import main
from robust.models.names import build_model
from robust.sweep import load_sweep
from styletransfer.network import StyleNetwork
from styletransfer.zoo import save_network

GRID = """title = "one axis"
seeds = 1
figures = ["top1"]
[axes]
attention = ["se"]
[fields]
recipe = "resnet11-embedded"
mode = "both"
epochs = 1
batch_size = 4
"""

LINES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "model": (
        ("fuse", "net.safetensors", "--out", "out.safetensors"),
        ("export", "net.safetensors", "--format", "safetensors", "--fold", "--out",
         "out.safetensors"),
        ("evaluate", "net.safetensors", "--data", "data", "--batch-size", "4"),
    ),
    "live": (
        ("freeze", "live.safetensors", "--data", "data", "--max-images", "4", "--batch-size", "4"),
        ("stripes", "live.safetensors", "--data", "data", "--max-images", "4", "--out", "out"),
    ),
    "style": (
        ("stylize", "picture.png", "--checkpoint", "style.safetensors", "--size", "16",
         "--out", "out"),
        ("fuse", "style.safetensors", "--out", "out.safetensors"),
        ("attack", "--checkpoint", "style.safetensors", "--images", "picture.png",
         "--size", "64", "--noise", "constant", "--severity", "0.5,0.5", "--out", "out", "--quiet"),
    ),
    "public": (
        ("stylize", "picture.png", "--checkpoint", "public.pth", "--size", "16", "--out", "out"),
        ("attack", "--checkpoint", "public.pth", "--style", "mosaic", "--images", "picture.png",
         "--size", "64", "--noise", "constant", "--severity", "0.5,0.5", "--out", "out", "--quiet"),
    ),
    "run": (
        ("evaluate", "run", "--data", "data", "--batch-size", "4"),
        ("evaluate", "run/best.pt", "--data", "data", "--batch-size", "4"),
        ("fuse", "run/last.pt", "--out", "out.safetensors"),
        ("stripes", "run", "--data", "data", "--max-images", "4", "--out", "out"),
        ("evaluate", "run/fused.safetensors", "--data", "data", "--batch-size", "4"),
    ),
    "resumed": (("train", "--recipe", "resnet11-embedded", "--epochs", "1", "--out", "run"),),
    "restyled": (
        ("train", "style", "--style", "picture.png", "--width", "1", "--size", "64",
         "--out", "run"),
    ),
    "sweep": (("sweep", "grid.toml", "--out", "sweep", "--quiet"),),
    "results": (
        ("evaluate", "net.safetensors", "--data", "data", "--batch-size", "4",
         "--suite", "norm-statistics", "--out", "results", "--quiet"),
    ),
}  # fmt: skip
"""What reads each part of the material."""


def material() -> dict[str, Files]:
    """Small files of every kind that a command reads, by part; the same each time."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _seeded():
        pictures = list(written().values())
        own: dict[str, bytes] = {"picture.png": pictures[0]}
        own |= {f"data/{c}/{i}.png": pictures[i % 2] for c in "ab" for i in range(5)}
        _write(own)
        stock = StockModel("asr:resnet11", {"num_classes": 2}, (3, 32, 32), (0.5,) * 3, (0.2,) * 3)
        model = build_model(stock.name, stock.arguments)
        insert_asr(model, targets="layer*.bn3")
        save_model("net.safetensors", model.eval(), stock)
        live = StockModel("asr:resnet11+se", {"num_classes": 2}, (3, 32, 32))
        save_model("live.safetensors", build_model(live.name, live.arguments).eval(), live)
        save_network(
            "style.safetensors", StyleNetwork("bn+asr", width=2, blocks=1), style="mosaic", seed=0,
            facts={},
        )  # fmt: skip
        network = StyleNetwork("in", width=2, blocks=1, head="linear")
        Path("public.pth").write_bytes(torch_bytes(network.state_dict()))
        Path("grid.toml").write_text(GRID)
        (planned,) = load_sweep("grid.toml").runs(Path("sweep")).values()
        _run(Path("run"), planned.training.config)
        _invoke(*LINES["results"][0])
        parts = {
            **{n: _read(n) for n in ("data", "run", "results")},
            "sweep": {n.replace("run", str(planned.folder), 1): d for n, d in _read("run").items()
                      if n.endswith(".json")},
            "model": _read("net"),
            **{n: _read(n) for n in ("live", "style", "public", "grid.toml", "picture.png")},
        }  # fmt: skip
        Path("run").rename("trained")
        for name, steps in (("resumed", 2), ("restyled", 26)):
            with _interrupted(steps):
                _invoke(*LINES[name][0], "--quiet")
            parts[name] = _read("run")
            Path("run").rename(name)
    parts["results"] = {**parts["results"], **parts["model"]}
    return parts


def checkpoints(rng: Random, name: str, parts: Mapping[str, Files]) -> Case:
    """A file of tensors, damaged or replaced, and a command that reads it."""
    part = rng.choice(
        ["model", "live", "style", "style", "public", "run", "run", "resumed", "restyled"]
    )
    return _case(rng, name, parts, part, (".safetensors", ".pt", ".pth", ".npz"))


def metadata(rng: Random, name: str, parts: Mapping[str, Files]) -> Case:
    """A file of JSON or CSV, damaged, and a command that reads it."""
    part = rng.choice(
        ["model", "live", "style", "run", "run", "sweep", "results", "resumed", "restyled"]
    )
    suffixes = (".json", ".csv")
    if not any(file.endswith(suffixes) for file in parts[part]):
        suffixes = (".safetensors", ".pt")  # where the metadata is part of them
    return _case(rng, name, parts, part, suffixes)


def _case(
    rng: Random, name: str, parts: Mapping[str, Files], part: str, suffixes: tuple[str, ...]
) -> Case:
    files: dict[str, Any] = {**parts["data"], **parts["picture.png"], **parts["grid.toml"]}
    files |= parts[part]
    line = rng.choice(LINES[part])
    own = [file for file in sorted(parts[part]) if file.endswith(suffixes)]
    named = [file for file in own if file in line] or own
    file = rng.choice(named if rng.random() < 0.7 else own)
    files[file], about = _damaged(rng, file, files[file])
    beside = str(Path(file).with_suffix(".json"))
    if rng.random() < 0.7 and beside != file and isinstance(files.get(beside), bytes):
        # With the right hash the damage gets further.
        meta = json.loads(files[beside])
        if "sha256" in meta and isinstance(files[file], bytes):
            meta["sha256"] = hashlib.sha256(files[file]).hexdigest()
            files[beside] = json.dumps(meta).encode()
    return Case(name, f"{file}: {about}", files, line, work=part == "sweep")


def _damaged(rng: Random, file: str, data: bytes) -> tuple[bytes | Special, str]:
    if rng.random() < 0.05:
        odd = [Special("fifo"), Special("folder"), Special("sparse", str(2**36)),
               Special("link", os.path.basename(file)), Special("link", "/dev/zero")]  # fmt: skip
        special = rng.choice(odd)
        return special, special.kind
    if file.endswith(".json"):
        return damaged_json(rng, data)
    if file.endswith(".safetensors"):
        return malicious(rng) if rng.random() < 0.05 else damaged_safetensors(rng, data)
    if file.endswith((".pt", ".pth")):
        return damaged_torch(rng, data)
    return (
        malicious(rng) if file.endswith(".npz") and rng.random() < 0.3 else damaged_bytes(rng, data)
    )


def _run(folder: Path, config: TrainConfig) -> None:
    """A finished run on the few pictures of ``data``, its gates recorded."""
    data = replace(open_data("data", image_size=32, workers=0), name=config.recipe.data)
    accelerator = new_accelerator(config, folder, device="cpu")
    record = AttentionRecorder(folder, data.validation)
    train(config, data, folder, accelerator=accelerator, on_epoch=record)
    accelerator.end_training()


def _invoke(*line: str) -> None:
    with (
        contextlib.suppress(KeyboardInterrupt, click.Abort),
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        main(line, standalone_mode=False)


@contextlib.contextmanager
def _interrupted(after: int) -> Iterator[None]:
    """Ctrl-C before the optimizer's step ``after``."""
    left = after

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            signal.raise_signal(signal.SIGINT)

    hook = register_optimizer_step_pre_hook(count)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a run of two steps gives reason for some
        torch.manual_seed(0)
        yield


def _write(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def _read(name: str) -> dict[str, bytes]:
    """The file or all files of the folder ``name``, or those of that stem."""
    path = Path(name)
    found = path.rglob("*") if path.is_dir() else Path().glob(f"{path.stem}.*")
    return {str(p): p.read_bytes() for p in sorted(found) if p.is_file()}
