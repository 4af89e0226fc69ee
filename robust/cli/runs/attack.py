"""``robust attack``: the main job."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from robust.cli.output import say, say_json

_STYLE = (
    "norms", "style", "images", "train_seeds", "size", "statistics", "full", "vgg_weights",
    "max_pixels",
)  # fmt: skip
_CLASSIFY = ("phase", "data", "data_folder", "split", "precision")


@click.command("attack")
@click.option(
    "--task",
    type=click.Choice(["style", "classify"]),
    default="style",
    show_default=True,
    help="Style networks, or the classifiers of --model.",
)
@click.option(
    "--noise", default="batch", show_default=True, help="batch, constant, random, or all."
)
@click.option(
    "--severity",
    "severities",
    multiple=True,
    help="Repeatable: n, n:photos or n:noise (batch); SCALE,SHIFT (constant); 0..1 or uniform "
    "(random).  [each noise's defaults]",
)
@click.option("--norm", "norms", multiple=True, help="Repeatable norm variant.  [all]")
@click.option(
    "--style", help="A style by name, or the style image of --model's networks.  [mosaic]"
)
@click.option(
    "--model", "models", multiple=True, help="Own checkpoints instead of the shipped ones."
)
@click.option("--images", multiple=True, help="Files or folders.  [held-out photographs]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws of noise.")
@click.option("--train-seeds", type=int, help="How many training seeds.  [all that ship]")
@click.option("--repeats", type=int, help="Draws per image of a noise that depends on chance.")
@click.option("--size", type=int, default=256, show_default=True, help="Side of the pictures.")
@click.option(
    "--batch-size",
    type=int,
    help="n of --statistics batch.  [4]  Classify: images at a time.  [256]",
)
@click.option(
    "--statistics",
    default="running",
    show_default=True,
    help="What BN normalises by under constant and random noise: running, batch or re-estimated.",
)
@click.option(
    "--granularity",
    help="Random noise drawn per layer, channel or sample.  [layer; classify: sample]",
)
@click.option(
    "--phase",
    default="test",
    show_default=True,
    help="Classify: test attacks the models; train tests models of `robust train --noise`, which "
    "trains them, clean on running, batch and re-estimated statistics.",
)
@click.option("--data", help="Classify: a data set, or a folder.  [the run's]")
@click.option("--data-folder", type=click.Path(), help="Classify: where the named set's files are.")
@click.option("--split", default="test", show_default=True, help="Classify: which images.")
@click.option(
    "--precision", default="no", show_default=True, help="Classify: no, or bf16, which is faster."
)
@click.option("--full", is_flag=True, help="All pictures, severities and more draws: minutes.")
@click.option("--vgg-weights", help="VGG16 weights for the losses: a file, or 'cached'.")
@click.option("--max-pixels", type=int, default=50_000_000, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", type=click.Path(), help="Run folder.  [runs/attack-NOISE-TIME]")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, and no table.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def attack(ctx: click.Context, task: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Stylise photographs clean and under normalisation noise, measure, and answer.

    Writes grid.png, metrics.csv, summary.json and run.json. Without options the style networks that
    ship with the package are attacked on held-out photographs; nothing is downloaded.

    With --task classify the classifiers of --model are tested instead: a JSON a model, tables
    (Markdown, CSV, LaTeX), curves (PNG, SVG), and the answer.
    """
    foreign = _STYLE if task == "classify" else _CLASSIFY
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in foreign and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[-1]} is no option of --task {task}", ctx)
    chosen = {name: value for name, value in options.items() if name not in foreign}
    if task == "classify":
        _classify(chosen, as_json=as_json, quiet=quiet)
    else:
        _style(chosen, as_json=as_json, quiet=quiet)


def _classify(chosen: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    import sys

    from robust.cli.runs.suite_run import run_and_show
    from robust.suites.attack import classifier_job

    job = classifier_job(**chosen, command=["robust", *sys.argv[1:]])
    run_and_show(job, as_json=as_json, quiet=quiet)


def _style(chosen: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    import sys
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from asr_core.errors import InputError
    from robust.report.progress import progress_bar, say_above
    from robust.style.folder import FILES
    from robust.style.options import attack_job
    from robust.style.report import print_report

    for path in chosen["models"]:
        if Path(path).is_dir():
            raise InputError(
                f"{path} is a folder, and style networks are files; for a classifier's run add "
                "--task classify"
            )
    folder = chosen["out"] or f"runs/attack-{chosen['noise']}-{datetime.now():%Y%m%d-%H%M%S}"
    job = attack_job(**{**chosen, "out": folder}, command=["robust", *sys.argv[1:]])
    say(job.announcement, err=True)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("stylising", total=job.total, note="")
        outcome = job.run(
            on_output=lambda image: bar.update(task, advance=1, note=image),
            on_skip=lambda path, reason: say_above(bar, f"skipped {path}: {reason}"),
        )
    if outcome.skipped:
        say(f"{len(outcome.skipped)} files skipped; run.json names them", err=True)
    if as_json:
        say_json(outcome.summary)
    else:
        width = None if sys.stdout.isatty() else 150
        print_report(outcome.summary, Console(width=width, markup=False))
        say("", f"{folder}: {', '.join(FILES)}")
