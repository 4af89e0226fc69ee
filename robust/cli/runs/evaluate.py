"""``robust evaluate``: accuracy of classifiers, clean or under a robustness suite."""

from __future__ import annotations

import click

from robust.cli import names, options
from robust.cli.values import Named


@click.command("evaluate")
@click.argument(
    "checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True, type=options.CHECKPOINT
)
@options.data("Data set.  [what the run was trained on]")
@options.data_folder()
@options.split("Images that are tested.")
@click.option("--suite", type=Named("suite", names.suites), help="Conditions to test under.")
@options.seed("Seed of the suite's draws.")
@click.option(
    "--baseline",
    type=options.CHECKPOINT,
    help="Plain twin to which the mCE of corruptions is relative; tested too.",
)
@options.statistics(
    "Repeatable: what BatchNorm is also tested on, beside running statistics", multiple=True
)
@options.repeats("Passes where chance has a part.", default=1)
@options.batch_size(default=256)
@options.precision()
@options.model()
@options.device()
@options.out("Folder of a suite's results.  [runs/robustness]")
@options.overwrite()
@options.no_report()
@options.as_json()
@options.quiet()
def evaluate_models(
    checkpoints: tuple[str, ...],
    data: str | None,
    data_folder: str | None,
    split: str,
    suite: str | None,
    seed: int,
    baseline: str | None,
    statistics: tuple[str, ...],
    repeats: int,
    batch_size: int,
    precision: str,
    model: str | None,
    device: str,
    out: str | None,
    overwrite: bool,
    no_report: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Top-1, top-5, loss and speed of each CHECKPOINT; with --suite, how it holds.

    CHECKPOINT is the folder of a training run (its last state), a last.pt or best.pt, or a saved
    .safetensors model, fused or not. A suite writes one JSON a model, which is not made again, and
    of those named now a table (Markdown, CSV, LaTeX), curves (PNG, SVG) and the answer in words.
    """
    import sys
    from pathlib import Path

    from asr_core.errors import InputError
    from robust.cli.output import leave_busy_cores
    from robust.cli.runs.suite_run import run_and_show, show_clean
    from robust.device import choose_device
    from robust.norm_noise import parse_statistics
    from robust.suites import SUITES, SuiteOptions, make_suite
    from robust.suites.job import SuiteJob, check_pass, evaluate_clean
    from robust.suites.subject import open_subjects, shared_data, with_twin

    if baseline is not None and suite != "corruptions":
        raise InputError("--baseline is for --suite corruptions; leave it out")
    if statistics and suite is None:
        raise InputError(
            "--statistics are of a suite; for clean images add --suite norm-statistics"
        )
    if suite is not None:
        SUITES[suite]  # an unknown name lists the known ones
    check_pass(split, batch_size, precision)
    target = choose_device(device)
    subjects = open_subjects(checkpoints, builder=model)
    twin = "" if baseline is None else with_twin(subjects, baseline, builder=model).name
    images = shared_data(subjects, data, folder=None if data_folder is None else Path(data_folder))
    if suite is None:
        leave_busy_cores()
        evaluations = [
            evaluate_clean(
                subject,
                images,
                split=split,
                batch_size=batch_size,
                device=target,
                precision=precision,
            )
            for subject in subjects
        ]
        show_clean(subjects, evaluations, as_json=as_json)
        return
    job = SuiteJob(
        subjects,
        images,
        make_suite(
            suite,
            SuiteOptions(
                data=images,
                split=split,
                seed=seed,
                repeats=repeats,
                baseline=twin,
                statistics=tuple(map(parse_statistics, statistics)),
            ),
        ),
        folder=Path(out or "runs/robustness"),
        split=split,
        batch_size=batch_size,
        device=target,
        precision=precision,
        overwrite=overwrite,
        command=["robust", *sys.argv[1:]],
    )
    run_and_show(job, no_report=no_report, as_json=as_json, quiet=quiet)
