"""Does ASR train better classifiers? What is trained and measured, and the section."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from asr_core import fold_model
from asr_core.data import open_data, train_batches
from asr_core.saving.files import write_json
from asr_core.training import new_accelerator, open_run
from asr_core.training.learner import Learner
from robust.bench.speed import in_turns
from robust.bench.training_cost import inference
from robust.models.files import open_model
from robust.report.table import Table
from robust.stats.answer import Answer, answer_to, holm, in_words
from robust.stats.intervals import mean_interval, p_value
from robust.studies.command import train_missing
from robust.studies.sections import put_section
from robust.sweep import Run
from robust.training.classifier import ClassifierRun

RECIPE = "resnet29-embedded"
VARIANTS = {
    "plain": ("plain", "se"),
    "live-se": ("live", "se"),
    "asr-se": ("asr", "se"),
    "both-se": ("both", "se"),
    "asr-const": ("asr", "const"),
}
"""Name -> mode and attention of `robust train`."""
TITLES = {
    "plain": "plain",
    "live-se": "SE, live",
    "asr-se": "ASR(SE), fused",
    "both-se": "ASR(SE), fused, + live SE",
    "asr-const": "gate frozen at its start, fused",
}
PAIRS = (
    ("live-se", "plain"),
    ("asr-se", "plain"),
    ("both-se", "plain"),
    ("both-se", "live-se"),
    ("asr-const", "plain"),
    ("asr-se", "asr-const"),
    ("asr-se", "live-se"),
)
FOLDED = "asr-se, folded"

Done = Mapping[tuple[str, int], Run]
"""Variant and seed -> a finished run."""
Seconds = dict[str, list[float]]
"""Name -> CPU seconds in each round."""

ABOUT = """## Classification: does ASR train better networks?

Made by `python scripts/studies/classification.py`: `{recipe}` ({epochs} epochs; forward and
backward in bfloat16, evaluation in float32), {seeds} seeds of each variant. A seed means the same
initial backbone, order and augmentation of the data in all variants. Accuracy is that of the *last*
epoch (none is chosen) on {images} test patches, from other regions of the pictures than those
trained on, and of the fused file where there is something to fuse. ± is half the 95 % t interval
over seeds, for these patches. The gate frozen at its initial value learns nothing: it tells what
attention learns from what its initial scale does.
"""
COSTS = """An epoch is {steps} training steps of {batch} images on one thread of a CPU, in CPU
seconds, evaluation not counted; inference is of the run's own file in float32, batches of {batch}.
Both were measured in one process, the variants in turns; a ratio is the median over {rounds} rounds
of that to plain in the same round. ASR(SE) and the frozen gate are plain networks once fused: how
far their inference is from 1.00 is the noise of the measurement. With its batch norms folded away
too, ASR(SE) takes {folded:.2f} of plain's time at inference. torch {torch}.
"""
CHANCE = """Differences, paired over seeds, with 95 % intervals and p values that allow for there
being {count} comparisons (Holm).
"""


def every_run(folder: Path, seeds: int) -> dict[tuple[str, int], Run]:
    """Every run of the study."""
    same = {"recipe": RECIPE, "precision": "bf16", "channels_last": True}
    return {
        (name, seed): Run(
            folder / f"{name}-{seed}",
            ClassifierRun.from_fields({**same, "mode": mode, "attention": attention, "seed": seed}),
        )
        for seed in range(seeds)
        for name, (mode, attention) in VARIANTS.items()
    }


def costs(done: Done, *, rounds: int) -> dict[str, Seconds]:
    """CPU seconds of a training step and of inference, of the runs of seed 0, in turns."""
    recipe = done["plain", 0].training.config.recipe
    data, size = open_data(recipe.data), recipe.batch_size
    images, labels = next(train_batches(data.train, batch_size=size, seed=0, epoch=0))
    learners, models = {}, {}
    for name in VARIANTS:
        run = done[name, 0]
        opened = open_run(run.folder)
        accelerator = new_accelerator(opened.config, run.folder, device="cpu")
        learners[name] = Learner(opened.config, opened.data, accelerator)
        models[name] = open_model(run.folder / run.result.file).model
    models[FOLDED] = fold_model(models["asr-se"])
    steps = {
        name: lambda learner=learner: learner.step(images, labels, lr=1e-3, at=(0, 0))
        for name, learner in learners.items()
    }
    return {
        "step": in_turns(steps, rounds),
        "inference": in_turns({n: inference(m, images) for n, m in models.items()}, rounds),
    }


def ratio(seconds: Seconds, name: str) -> float:
    """To plain in the same round, the median of all rounds."""
    pairs = zip(seconds[name], seconds["plain"], strict=True)
    return statistics.median(mine / plain for mine, plain in pairs)


def figures(done: Done, seeds: int, name: str) -> dict[str, NDArray[np.float64]]:
    """A test figure of the last epoch, in points: (seeds,) of each variant."""
    return {
        variant: np.array(
            [100 * getattr(done[variant, seed].result.test, name) for seed in range(seeds)]
        )
        for variant in VARIANTS
    }


def plus_minus(values: ArrayLike, *, sign: str = "") -> str:
    """The mean over seeds, with half of its 95 % interval."""
    return mean_interval(np.asarray(values)[:, None]).plus_minus(2, sign=sign)


def verdicts(top1: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """A line on each of :data:`PAIRS`, paired over seeds; the answers hold together (Holm)."""
    tables = [(top1[one] - top1[other])[:, None] for one, other in PAIRS]
    adjusted = holm([p_value(table) for table in tables])
    lines = []
    for (one, other), table, p in zip(PAIRS, tables, adjusted, strict=True):
        gap = replace(mean_interval(table), over="over seeds")
        answer = answer_to(gap)
        if gap.leaves_zero_out and p >= 0.05:
            answer = Answer.INCONCLUSIVE
        words = in_words(
            answer,
            gap,
            claim=f"{TITLES[one]}: more accurate than {TITLES[other]}",
            contrary=f"{TITLES[one]}: less accurate than {TITLES[other]}",
            decimals=2,
            unit=" points",
        )
        lines.append(f"- {words}; Holm p {p:.2g}.")
    return lines


def table(done: Done, seeds: int, measured: Mapping[str, Seconds], steps: int) -> str:
    """A row for each variant; ``steps`` make an epoch."""
    top1, top5 = (figures(done, seeds, name) for name in ("top1", "top5"))
    step, infer = measured["step"], measured["inference"]
    rows = [
        (
            title,
            plus_minus(top1[name]),
            plus_minus(top5[name]),
            "" if name == "plain" else plus_minus(top1[name] - top1["plain"], sign="+"),
            f"{statistics.median(step[name]) * steps:.0f}",
            f"{ratio(step, name):.2f}",
            f"{ratio(infer, name):.2f}",
        )
        for name, title in TITLES.items()
    ]
    head = ("variant", "test top-1, %", "top-5, %", "against plain, points", "epoch, s")
    return Table((*head, "epoch / plain", "inference / plain"), rows).markdown()


def page(done: Done, seeds: int, measured: Mapping[str, Seconds]) -> str:
    """The section."""
    some = done["plain", 0]
    recipe = some.training.config.recipe
    batch = recipe.batch_size
    steps = some.data.sizes[0] // batch
    about = ABOUT.format(
        recipe=recipe.name,
        epochs=recipe.epochs,
        seeds=seeds,
        images=some.result.test.images,
    )
    notes = COSTS.format(
        steps=steps,
        batch=batch,
        rounds=len(measured["step"]["plain"]),
        folded=ratio(measured["inference"], FOLDED),
        torch=torch.__version__.split("+")[0],
    )
    top1 = figures(done, seeds, "top1")
    parts = [about, table(done, seeds, measured, steps), notes, CHANCE.format(count=len(PAIRS))]
    return "\n".join([*parts, *verdicts(top1)])


def study(runs: Path, docs: Path, *, seeds: int, workers: int, rounds: int) -> None:
    """Train what is missing, measure, and write the section."""
    done = every_run(runs, seeds)
    train_missing(done.values(), workers=workers, say="classification")
    measured = costs(done, rounds=rounds)
    write_json(runs / "costs.json", measured)
    put_section(docs, "classification", page(done, seeds, measured))
