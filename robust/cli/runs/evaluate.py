"""``robust evaluate``: accuracy of classifiers, clean or under a robustness suite."""

from __future__ import annotations

import click


@click.command("evaluate")
@click.argument("checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True)
@click.option("--data", help="Data set: a name, or a folder.  [what the run was trained on]")
@click.option("--data-folder", type=click.Path(), help="Where the named set's files are.")
@click.option("--split", default="test", show_default=True, help="test, validation or train.")
@click.option("--suite", help="norm-noise, norm-statistics, corruptions, adversarial[-strong].")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the suite's draws.")
@click.option(
    "--baseline",
    type=click.Path(),
    help="Plain twin to which the mCE of corruptions is relative; tested too.",
)
@click.option(
    "--repeats", type=int, default=1, show_default=True, help="Passes where chance has a part."
)
@click.option("--batch-size", type=int, default=256, show_default=True, help="Images at a time.")
@click.option(
    "--precision", default="no", show_default=True, help="no, or bf16 for a faster forward."
)
@click.option("--model", help="Build from this MODEL; needed where CHECKPOINT names own code.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", type=click.Path(), help="Folder of a suite's results.  [runs/robustness]")
@click.option("--overwrite", is_flag=True, help="Replace results of other models or settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def evaluate_models(
    checkpoints: tuple[str, ...],
    data: str | None,
    data_folder: str | None,
    split: str,
    suite: str | None,
    seed: int,
    baseline: str | None,
    repeats: int,
    batch_size: int,
    precision: str,
    model: str | None,
    device: str,
    out: str | None,
    overwrite: bool,
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
    from robust.cli.runs.suite_run import run_and_show, show_clean
    from robust.device import choose_device
    from robust.suites import SUITES, SuiteOptions
    from robust.suites.job import SuiteJob, check_pass, evaluate_clean
    from robust.suites.subject import open_subjects, shared_data, with_twin

    if baseline is not None and suite != "corruptions":
        raise InputError("--baseline is for --suite corruptions; leave it out")
    if suite is not None:
        SUITES[suite]  # an unknown name lists the known ones
    check_pass(split, batch_size, precision)
    target = choose_device(device)
    subjects = open_subjects(checkpoints, builder=model)
    twin = "" if baseline is None else with_twin(subjects, baseline, builder=model).name
    images = shared_data(subjects, data, folder=None if data_folder is None else Path(data_folder))
    if suite is None:
        found = [
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
        show_clean(subjects, found, as_json=as_json)
        return
    job = SuiteJob(
        subjects,
        images,
        SUITES[suite](
            SuiteOptions(data=images, split=split, seed=seed, repeats=repeats, baseline=twin)
        ),
        folder=Path(out or "runs/robustness"),
        split=split,
        batch_size=batch_size,
        device=target,
        precision=precision,
        overwrite=overwrite,
        command=["robust", *sys.argv[1:]],
    )
    run_and_show(job, as_json=as_json, quiet=quiet)
