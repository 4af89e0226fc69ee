"""How do classifiers hold under normalisation noise? What is trained and tested for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_core.data import ImageSet, open_data
from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from robust.report.progress import progress_bar
from robust.report.table import Table
from robust.studies.command import train_missing
from robust.studies.differences import explored
from robust.studies.sections import put_section
from robust.suites import SUITES, SuiteOptions, SuiteResult
from robust.suites.cohort import Cohort, cohorts
from robust.suites.contrasts import contrasts
from robust.suites.curves import draw_curves, save_curves
from robust.suites.job import SuiteJob
from robust.suites.subject import open_subject
from robust.suites.tables import accuracy, caption, percent, table
from robust.sweep import Run
from robust.training.classifier import ClassifierRun

RECIPE, EPOCHS = "resnet11-embedded", 3
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"mode": "plain"},
    "live-se": {"mode": "live", "attention": "se"},
    "asr-se": {"mode": "asr", "attention": "se"},
    "asr-ie": {"mode": "asr", "attention": "ie"},
    "asr-const": {"mode": "asr", "attention": "const"},
    "zero-gamma": {"mode": "plain", "zero_gamma": True},
}
"""Fields of a run file."""
NOISES: dict[str, dict[str, Any]] = {
    "clean": {},
    "constant": {"noise": "constant", "severity": "0.5,0.5"},
    "random": {"noise": "random", "severity": "uniform"},
    # an eighth of the recipe's batch, and so of its learning rate
    "batch": {"noise": "batch", "severity": "8", "lr": 0.0125},
}
SUITE = {"test": "norm-noise", "train": "norm-statistics"}
PRECISION = "bf16"
BATCH = 64  # larger ones spend half their time on fresh memory

Runs = Mapping[tuple[str, str, int], Run]
"""By variant, noise of the training, and seed."""

ABOUT = """## Classifiers under normalisation noise

Made by `python scripts/studies/noise.py`: `{recipe}` at {epochs} epochs on the embedded patches,
forward and backward in bfloat16, training and tests. A seed means the same initial backbone, order
and augmentation of the data in all variants; `const` has a gate frozen at its initial value, which
learns nothing, and `zero γ` is the plain network with each residual branch starting at 0.
Statistics are named in every row. The single severities' figures are in the JSON files of the run
folder, one a model and suite, from which tables and curves are made.

{missing}
"""
TEST = """### Phase test: clean-trained networks are attacked

`robust attack --task classify --noise all --precision bf16`: random noise draws for each image as
in a forward of its own; batch noise deals the test images into batches of n by chance, so that an
image's companions are other test images, or gives each n − 1 noise images; n = 1 is the control in
which BatchNorm is InstanceNorm.

![Accuracy over severity](gallery/noise-test.png)
"""
TRAIN = """### Phase train: networks trained under noise are tested clean

`robust train --noise constant --severity 0.5,0.5`, `--noise random --severity uniform` (Na, Nb from
U(0, 1), drawn at each step for each layer) and `--noise batch --severity 8` (batches of 8 instead
of {batch}, and an eighth of the learning rate). Running statistics are those that the training
collected, under its noise; batch statistics are of 64 test images dealt by chance; re-estimated
ones are of 1,024 training images, augmented as in training. Padded crops have black borders, which
test images have not: a network can fail on the test batch's statistics for that alone.

![Accuracy by statistics](gallery/noise-train.png)
"""


def every_run(folder: Path, seeds: int) -> dict[tuple[str, str, int], Run]:
    """Every run of the study, seed by seed, so that a part of them is a smaller study."""
    same = {"recipe": RECIPE, "epochs": EPOCHS, "precision": PRECISION, "channels_last": True}
    return {
        (variant, noise, seed): Run(
            folder / f"{variant}-{noise}-{seed}",
            ClassifierRun.from_fields({**same, **VARIANTS[variant], **NOISES[noise], "seed": seed}),
        )
        for seed in range(seeds)
        for noise in NOISES
        for variant in VARIANTS
    }


def results(done: Runs, phase: str, data: ImageSet, folder: Path) -> list[SuiteResult]:
    """The suite of a phase on every run that is done; what was tested before is read."""
    suite = SUITES[SUITE[phase]](SuiteOptions(data=data))
    found = []
    with progress_bar() as bar:
        task = bar.add_task(f"phase {phase}", total=len(done), note="")
        for run in done.values():
            bar.update(task, note=run.folder.name)
            run.check()
            subject = open_subject(run.folder)
            job = SuiteJob(
                [subject], data, suite, folder=folder, precision=PRECISION, batch_size=BATCH
            )
            found += job.run()
            bar.advance(task)
    return found


def whole_seeds(every: Runs) -> dict[tuple[str, str, int], Run]:
    """The finished runs of the seeds of which all are finished: variants are then alike in seeds.

    While there is no such seed, all that are finished.
    """
    absent = {seed for (*_, seed), run in every.items() if not run.done}
    done = {key: run for key, run in every.items() if run.done}
    return {key: run for key, run in done.items() if key[2] not in absent} or done


def missing(every: Runs, done: Runs) -> str:
    """Which runs the tables are without."""
    if len(done) == len(every):
        return f"All {len(every)} runs are in."
    seeds = sorted({seed for *_, seed in every} - {seed for *_, seed in done})
    absent = [f"all of seed {seed}" for seed in seeds]
    absent += [f"{v}-{n}-{s}" for v, n, s in every if s not in seeds and (v, n, s) not in done]
    return f"**{len(done)} of {len(every)} runs are in; missing are {', '.join(absent)}.**"


def train_table(groups: Sequence[Cohort]) -> str:
    """Rows: the noise of the training and the statistics of the test; a column a variant."""
    labels = list(dict.fromkeys(group.label for group in groups))
    rows = []
    for under in dict.fromkeys(group.trained_under for group in groups):
        alike = {group.label: group for group in groups if group.trained_under == under}
        for condition in next(iter(alike.values())).results[0].cells():
            shown = (
                percent(accuracy(alike[label], condition)) if label in alike else "missing"
                for label in labels
            )
            rows.append((under or "no noise", condition.statistics, *shown))
    head = ("trained under", "tested on statistics", *labels)
    return Table(head, rows, words=2, caption=caption(groups)).markdown()


def page(every: Runs, done: Runs, attacked: list[Cohort], trained: list[Cohort]) -> str:
    """The section."""
    recipe = load_recipe(RECIPE)
    about = ABOUT.format(recipe=RECIPE, epochs=EPOCHS, missing=missing(every, done))
    parts = [about, TEST, table(attacked).markdown(), explored(contrasts(attacked))]
    parts += [TRAIN.format(batch=recipe.batch_size), train_table(trained)]
    parts.append(explored(contrasts(trained)))
    return "\n".join(parts)


def study(runs: Path, docs: Path, *, seeds: int, workers: int = 1, train: bool = True) -> None:
    """Train what is missing, unless ``train`` is False, test it, and write the section.

    Raises:
        InputError: a run failed, or none is finished.
    """
    every = every_run(runs, seeds)
    if train:
        train_missing(every.values(), workers=workers, say="noise")
    done = whole_seeds(every)
    clean = {key: run for key, run in done.items() if key[1] == "clean"}
    if not clean:
        raise InputError(f"{runs}: no clean-trained run is finished, so nothing can be attacked")
    data = open_data(load_recipe(RECIPE).data)
    # beside the runs, whose folder must hold runs alone
    folder = runs.with_name(runs.name + "-results")
    attacked = cohorts(results(clean, "test", data, folder))
    trained = cohorts(results(done, "train", data, folder))
    save_curves(draw_curves(attacked), docs / "gallery" / "noise-test.png")
    save_curves(draw_curves(trained), docs / "gallery" / "noise-train.png")
    put_section(docs, "noise", page(every, done, attacked, trained))
