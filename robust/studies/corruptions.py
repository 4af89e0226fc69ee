"""How do classifiers hold under corruptions and attacks? What is tested, and the section."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asr_core.data import ImageSet, MemorySplit, open_data
from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from robust.report.progress import progress_bar
from robust.report.table import Table
from robust.stats.compare import bootstrap_interval
from robust.studies.differences import explored
from robust.studies.noise import (
    BATCH,
    EPOCHS,
    PRECISION,
    RECIPE,
    Runs,
    every_run,
    missing,
    whole_seeds,
)
from robust.studies.sections import put_section
from robust.suites import SUITES, SuiteOptions, SuiteResult
from robust.suites.cohort import Cohort, cohorts
from robust.suites.condition import CLEAN, Condition
from robust.suites.contrasts import contrasts
from robust.suites.curves import draw_curves, save_curves
from robust.suites.job import SuiteJob
from robust.suites.kinds.corruptions import TO_TWIN, score
from robust.suites.subject import Subject, open_subject
from robust.suites.tables import accuracy, caption, percent

SECONDS = {"corruptions": 85, "adversarial": 40, "adversarial-strong": 50}
"""What each suite takes on a network, on one free core."""

EVERY = 3
"""Of the test images, how many there are for one that is attacked."""

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
ALL = "all 15 corruptions"
ATTACKS = {
    "fgsm-linf": "FGSM, L∞",
    "pgd-linf": "PGD, L∞",
    "pgd+fmn-linf": "worst of PGD and FMN, L∞",
    "pgd-l2": "PGD, L2",
    "pgd+ddn-l2": "worst of PGD and DDN, L2",
}

Situations = dict[str, list[Condition]]

ABOUT = """## Classifiers under corruptions and attacks

Made by `python scripts/studies/corruptions.py` from the clean-trained networks of `python
scripts/studies/noise.py`, which makes runs that are missing: `{recipe}` at {epochs} epochs on the
embedded patches, forward in bfloat16, training and tests. Variants are those of the section above,
training seeds {seeds}. Testing takes about {each:.1f} minutes a network on one free core,
{minutes:.0f} in all, which is why there are no more seeds; `--seeds 5` goes on. Clean accuracy is
compared in the section above, over all its seeds. Tables and curves are made from the JSON files of
the run folder, one a model and suite.

{missing}

### Corruptions

`robust evaluate --suite corruptions --precision bf16`: the 15 standard corruptions at severities 1
to 5, as {severity_table}, which are milder than those for 224; frost is {frost} by code, not the
published photographs.

![Accuracy over severity](gallery/corruptions.png)
"""
ADVERSARIAL = """### Adversarial attacks

`robust evaluate --suite adversarial --precision bf16` and `adversarial-strong`, on every {every}rd
test image: FGSM, and PGD of {steps} steps from a random start, at a quarter, half and the whole of
the customary bound for 32 pixels; at the whole one also the worst of PGD and a minimum-norm attack
of {second_steps} steps, FMN or DDN. All know the model, with normalisation inside it, and bounds
are of images in [0, 1]. None of the networks was trained against attacks. Chance is {chance:.1f} %.

![Accuracy over the bound](gallery/adversarial.png)
"""


def every_third(data: ImageSet) -> ImageSet:
    """The same set with a part of its test images: attacks cost 200 passes."""
    places = torch.arange(0, len(data.test), EVERY)
    images = data.test.test_batch(places).mul(255).round().byte()
    return replace(data, test=MemorySplit(images, data.test.labels[places]))


def suite_jobs(subject: Subject, data: ImageSet, folder: Path) -> list[SuiteJob]:
    """The three suites on a network."""
    sets = {name: data if name == "corruptions" else every_third(data) for name in SECONDS}
    return [
        SuiteJob(
            [subject],
            images,
            SUITES[name](SuiteOptions(data=images)),
            folder=folder,
            precision=PRECISION,
            batch_size=BATCH,
        )
        for name, images in sets.items()
    ]


def results(done: Runs, data: ImageSet, folder: Path) -> dict[str, list[SuiteResult]]:
    """What the suites found, by suite; what was tested before is read."""
    found: dict[str, list[SuiteResult]] = {name: [] for name in SECONDS}
    with progress_bar() as bar:
        task = bar.add_task("corruptions", total=len(done) * len(SECONDS), note="")
        for run in done.values():
            run.check()
            subject = open_subject(run.folder)
            for job in suite_jobs(subject, data, folder):
                bar.update(task, note=f"{subject.name}: {job.suite.name}")
                found[job.suite.name] += job.run()
                bar.advance(task)
    return found


def announcement(done: Runs, folder: Path) -> str:
    """What there is to test, and how long it takes."""
    left = [
        suite
        for run in done.values()
        for suite in SECONDS
        if not (folder / f"{run.folder.name}-{suite}.json").exists()
    ]
    minutes = sum(SECONDS[suite] for suite in left) / 60
    return (
        f"{len(left)} of {len(done) * len(SECONDS)} tests to make: "
        f"about {minutes:.0f} minutes on one free core"
    )


def by_group(conditions: Sequence[Condition]) -> Situations:
    """The corruptions by group, then all of them.

    Clean images are left to the section on noise, which compares them over all seeds.
    """
    found = {group: [c for c in conditions if c.kind in kinds] for group, kinds in GROUPS.items()}
    return {**found, ALL: [c for c in conditions if c.kind != CLEAN.kind]}


def by_attack(conditions: Sequence[Condition]) -> Situations:
    """All bounds of an attack together, without clean images."""
    return {
        f"{name}, mean over ε" if sum(c.kind == kind for c in conditions) > 1 else name: [
            c for c in conditions if c.kind == kind
        ]
        for kind, name in ATTACKS.items()
        if any(c.kind == kind for c in conditions)
    }


def error_table(groups: Sequence[Cohort]) -> str:
    """Rows: clean, the kinds, their mean and mCE; a column a variant: the error in %."""
    conditions = groups[0].results[0].cells()
    rows = [("", "clean", [CLEAN])]
    rows += [
        (group if kind == kinds[0] else "", kind, [c for c in conditions if c.kind == kind])
        for group, kinds in GROUPS.items()
        for kind in kinds
    ]
    rows.append(("", "mean", by_group(conditions)[ALL]))
    body = [(*names, *(error(group, of) for group in groups)) for *names, of in rows]
    body.append(("", TO_TWIN, *mce(groups)))
    header = ("", "corruption", *(group.label for group in groups))
    about = (
        f"{caption(groups, what='error')}; under a corruption the mean over its five severities. "
        f"{TO_TWIN}, in %: the mean over corruptions of the error over the plain network's, in "
        "brackets the least and the greatest of single seeds"
    )
    return Table(header, body, words=2, caption=about).markdown()


def error(group: Cohort, conditions: Sequence[Condition]) -> str:
    """100 − top-1 over ``conditions``, with half of its interval."""
    right = bootstrap_interval(group.right(conditions))
    return percent(replace(right, mean=1 - right.mean))


def mce(groups: Sequence[Cohort]) -> list[str]:
    """Of each cohort relative to the plain one, and of its seeds to the same seeds of that."""
    twins = [group for group in groups if group.label == "plain"]
    if not twins:
        return ["no plain twin"] * len(groups)
    (twin,) = twins
    shown = []
    for group in groups:
        whole = 100 * score(group.results, baseline=twin.results).value
        each = [
            100 * score([own], baseline=[twin.results[twin.seeds.index(seed)]]).value
            for seed, own in zip(group.seeds, group.results, strict=True)
            if seed in twin.seeds
        ]
        several = f" ({min(each):.1f}–{max(each):.1f})" if len(each) > 1 else ""
        shown.append(f"{whole:.1f}{several}" if group is not twin else f"{whole:.1f}")
    return shown


def attack_table(attacked: Sequence[Cohort], strong: Sequence[Cohort]) -> str:
    """Rows: attack and bound; a column a variant: the accuracy in %."""
    found = {c: groups for groups in (attacked, strong) for c in groups[0].results[0].cells()}
    body = [("clean", "", *(percent(accuracy(group, CLEAN)) for group in attacked))]
    body += [
        (name, str(c.severity), *(percent(accuracy(group, c)) for group in groups))
        for kind, name in ATTACKS.items()
        for c, groups in found.items()
        if c.kind == kind
    ]
    header = ("attack", "ε", *(group.label for group in attacked))
    return Table(header, body, words=2, caption=caption(attacked)).markdown()


def page(every: Runs, done: Runs, found: Mapping[str, list[SuiteResult]], *, classes: int) -> str:
    """The section."""
    corrupted, attacked, strong = (cohorts(found[name]) for name in SECONDS)
    settings = {k: v for results in found.values() for k, v in results[0].settings.items()}
    minutes = sum(SECONDS.values()) / 60
    about = ABOUT.format(
        recipe=RECIPE,
        epochs=EPOCHS,
        missing=missing(every, done),
        seeds=", ".join(map(str, sorted({seed for *_, seed in done}))),
        each=minutes,
        minutes=minutes * len(done),
        **{name: settings[name] for name in ("severity_table", "frost")},
    )
    attacks = ADVERSARIAL.format(
        steps=settings["pgd_steps"],
        second_steps=settings["second_steps"],
        every=EVERY,
        chance=100 / classes,
    )
    told = contrasts(attacked, situations_of=by_attack) + contrasts(strong, situations_of=by_attack)
    parts = [about, error_table(corrupted)]
    parts.append(explored(contrasts(corrupted, situations_of=by_group)))
    parts += [attacks, attack_table(attacked, strong), explored(told)]
    return "\n".join(parts)


def study(runs: Path, docs: Path, *, seeds: int) -> None:
    """Test what is trained, and write the section.

    Raises:
        InputError: no run is finished.
    """
    every = {k: run for k, run in every_run(runs, seeds).items() if k[1] == "clean"}
    done = whole_seeds(every)
    if not done:
        raise InputError(
            f"{runs}: no clean-trained run is finished, so nothing can be tested; "
            "python scripts/studies/noise.py makes them"
        )
    # beside the runs, whose folder must hold runs alone
    folder = runs.with_name("corruptions-results")
    print(announcement(done, folder), file=sys.stderr)
    data = open_data(load_recipe(RECIPE).data)
    found = results(done, data, folder)
    for name in ("corruptions", "adversarial"):
        save_curves(draw_curves(cohorts(found[name])), docs / "gallery" / f"{name}.png")
    text = page(every, done, found, classes=data.num_classes)
    put_section(docs, "corruptions", text)
