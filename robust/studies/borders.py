"""Why do batch statistics cost clean accuracy? Borders that training images alone have."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asr_core.data import ImageSet, MemorySplit, open_data
from asr_core.data.split import sample_draws
from asr_core.draws import generator
from asr_core.errors import InputError
from asr_core.saving.files import write_text
from asr_core.training import new_accelerator, train
from asr_core.training.folder import MODEL
from robust.models.files import SavedModel, open_model
from robust.norm_noise import batch_statistics, deal
from robust.report.progress import progress_bar
from robust.report.table import Table
from robust.stats.intervals import mean_interval
from robust.studies.sections import put_section
from robust.training.classifier import ClassifierRun

DATA = "embedded"
BORDERS: Mapping[str, dict[str, Any]] = {
    "black": {"border": "black"},
    "mirrored": {"border": "reflect"},
    "none (no crops)": {"padding": 0},
}
"""Arguments of :class:`asr_core.data.MemorySplit`, by what fills up a moved image in training."""
SIZES = (64, 256)
"""Images that share statistics."""
HEAD = (
    "borders in training", "running", *(f"n = {size}" for size in SIZES),
    f"bordered like in training: running, n = {SIZES[0]}",
    f"training images as they are: running, n = {SIZES[0]}",
)  # fmt: skip

ABOUT = """## Borders: why batch statistics cost clean accuracy

Made by `python scripts/studies/borders.py`: `{recipe}`, {epochs} epochs, {seeds} seeds, plain, on
the embedded patches; clean test images, normalised by the running statistics or by those of n test
images dealt by chance. In training each image moves by up to 4 pixels; the networks differ in what
fills up the pixels that it leaves.

{table}

Points lost on the statistics of {size} test images, mean ± half the 95 % interval over seeds:
{black} with black borders, which test images have not; {healed} by the same networks once such
borders are put around the test images too; {mirrored} with mirrored borders, {train} on training
images. So most of the loss is the borders', and the embedded patches are filled up by reflection
now. On running statistics mirrored borders bring {gain} points. The sections on
classification, noise, corruptions, stripes and sweeps are of networks with black borders. The
figures of each seed are in [borders.csv](borders.csv).
"""


def training_split(data: ImageSet, border: str) -> MemorySplit:
    """The training images with another border."""
    held = data.train
    if not isinstance(held, MemorySplit):
        raise InputError(f"{data.name} is not held in memory, so its borders are its own")
    return MemorySplit(held.images, held.labels, **BORDERS[border])


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, size: int | None) -> float:
    """Top-1 on running statistics, or on those of ``size`` images dealt by chance."""
    right = torch.zeros(len(images), dtype=torch.bool)
    batches = deal(len(images), size or 1, size or 64, seed=0, draw=0)
    context = batch_statistics(model) if size else contextlib.nullcontext()
    with torch.no_grad(), context:
        for batch in batches:
            right[batch] = model(images[batch]).argmax(1) == labels[batch]
    return right.double().mean().item()


def measure(model: nn.Module, data: ImageSet, train: MemorySplit) -> list[float]:
    """The figures of a network: those of :data:`HEAD`, pairs one after the other."""
    test, still = data.test.test_batch(torch.arange(len(data.test))), torch.arange(len(train))[::4]
    held = data.test
    assert isinstance(held, MemorySplit)
    moved = MemorySplit(held.images, held.labels, padding=train.padding, border=train.border)
    draws = sample_draws(len(held), generator("borders", 0))
    (bordered,) = moved.train_stream([(torch.arange(len(held)), draws)])
    own, labels = train.test_batch(still), data.test.labels
    return [
        *(accuracy(model, test, labels, size) for size in (None, *SIZES)),
        *(accuracy(model, bordered, labels, size) for size in (None, SIZES[0])),
        *(accuracy(model, own, train.labels[still], size) for size in (None, SIZES[0])),
    ]


def page(found: Mapping[str, Sequence[Sequence[float]]], *, recipe: str, epochs: int) -> str:
    """The section, from the figures of each border's networks, a row a seed."""
    rows = []
    for border, figures in found.items():
        cells = [mean_interval(np.array(each)[:, None]) for each in zip(*figures, strict=True)]
        shown = [cell.plus_minus(1, scale=100) for cell in cells]
        rows.append((border, *shown[:3], f"{shown[3]}, {shown[4]}", f"{shown[5]}, {shown[6]}"))
    black, mirrored = (np.array(found[border]) for border in ("black", "mirrored"))

    def points(differences: NDArray[np.float64]) -> str:
        return mean_interval(differences[:, None]).plus_minus(1, scale=100)

    return ABOUT.format(
        recipe=recipe,
        epochs=epochs,
        seeds=len(black),
        size=SIZES[0],
        table=Table(HEAD, rows).markdown().rstrip(),
        black=points(black[:, 0] - black[:, 1]),
        healed=points(black[:, 3] - black[:, 4]),
        mirrored=points(mirrored[:, 0] - mirrored[:, 1]),
        train=points(mirrored[:, 5] - mirrored[:, 6]),
        gain=points(mirrored[:, 0] - black[:, 0]),
    )


def study(docs: Path, *, runs: Path, recipe: str, epochs: int, seeds: int) -> None:
    """Train what is missing, measure, and write the section and its figures."""
    data = open_data(DATA)
    found: dict[str, list[list[float]]] = {}
    with progress_bar() as bar:
        task = bar.add_task("training", total=len(BORDERS) * seeds, note="")
        for border in BORDERS:
            for seed in range(seeds):
                folder = runs / f"{border.split()[0]}-{seed}"
                own = training_split(data, border)
                if not (folder / MODEL).exists():
                    fields = {"recipe": recipe, "mode": "plain", "epochs": epochs, "seed": seed}
                    fast = {"precision": "bf16", "channels_last": True}
                    config = ClassifierRun.from_fields({**fields, **fast}).config
                    accelerator = new_accelerator(config, folder, device="cpu")
                    train(config, replace(data, train=own), folder, accelerator=accelerator)
                opened = open_model(folder / MODEL)
                assert isinstance(opened, SavedModel)
                found.setdefault(border, []).append(measure(opened.model.eval(), data, own))
                bar.advance(task)
    lines = [
        ",".join([border, str(seed), *(f"{value:.6g}" for value in values)])
        for border, each in found.items()
        for seed, values in enumerate(each)
    ]
    write_text(docs / "borders.csv", "\n".join(lines) + "\n")
    put_section(docs, "borders", page(found, recipe=recipe, epochs=epochs))
