"""``robust attack``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from asr_core.errors import InputError
from robust.cli import names, options
from robust.cli.output import hint_to_fetch, say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Named
from robust.norm_noise.severity import NOISES

_STYLE = (
    "norms", "style", "images", "train_seeds", "size", "full", "loss_network", "max_pixels",
    "verbose",
)  # fmt: skip
NETWORK = "network.safetensors"
OLD = {"--model": "--checkpoint", "--vgg-weights": "--loss-network"}
_CLASSIFY = ("phase", "data", "data_folder", "split", "precision")


@click.command("attack", cls=options.Command, old=OLD)
@click.option(
    "--task",
    type=click.Choice(["style", "classify"]),
    default="style",
    show_default=True,
    help="Style networks, or the classifiers of --checkpoint.",
)
@options.noise("Noise on the norm layers.", type=Named("noise", [*NOISES, "all"]), default="batch")
@options.severity("Repeatable", "severities", multiple=True)
@options.norm("Repeatable norm variant.  [all]", "norms", multiple=True)
@options.style("Style of the shipped networks, or the style image of your own.  [mosaic]")
@options.checkpoint(
    "Repeatable: your own networks instead of the shipped ones.", "models", multiple=True
)
@options.images("Repeatable: photographs.  [held-out photographs that ship]")
@options.seed("Seed of the noise.")
@options.train_seeds("How many training seeds.  [all that ship]")
@options.repeats("Draws per image of a noise that depends on chance.")
@options.size("Side of the square pictures.", default=256)
@options.batch_size("Images at a time (classify).  [256]  n of --statistics batch.  [4]")
@options.statistics(
    "What BN normalises by under constant and random noise", default="running", show_default=True
)
@click.option(
    "--granularity",
    type=Named("granularity", names.GRANULARITIES),
    help="What random noise is drawn for.  [sample]",
)
@click.option(
    "--phase",
    type=Named("phase", ["test", "train"]),
    default="test",
    show_default=True,
    help="Classify: test attacks the networks; train tests networks of `robust train --noise` "
    "clean, on running, batch and re-estimated statistics.",
)
@options.data("Classify: data set.  [what the run was trained on]")
@options.data_folder("Classify: where the files of the named set are.")
@options.split("Classify: images that are tested.")
@options.precision("Classify: number format of the forward; bf16 is faster.")
@click.option(
    "--full", is_flag=True, help="All pictures, severities and metrics, more draws: many minutes."
)
@click.option(
    "-v", "--verbose", is_flag=True, help="All metrics and severities, and what they stand for."
)
@options.loss_network()
@options.max_pixels()
@options.device()
@options.out("Run folder.  [runs/attack-NOISE-TIME]")
@options.overwrite()
@options.no_report()
@options.as_json()
@options.quiet()
@click.pass_context
def attack(
    ctx: click.Context, task: str, no_report: bool, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Stylise photographs clean and under normalisation noise, measure, and answer.

    Writes report.html, grid.png, metrics.csv, summary.json, run.json and pictures. Without options
    the style networks that ship with the package are attacked on held-out photographs; nothing is
    downloaded.

    With --task classify the classifiers of --checkpoint are tested instead: a JSON a model, tables
    (Markdown, CSV, LaTeX), curves (PNG, SVG), and the answer.
    """
    foreign = _STYLE if task == "classify" else _CLASSIFY
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in foreign and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[-1]} is no option of --task {task}", ctx)
    chosen = {name: value for name, value in given.items() if name not in foreign}
    if task == "classify":
        _classify(chosen, no_report=no_report, as_json=as_json, quiet=quiet)
    else:
        _style(chosen, no_report=no_report, as_json=as_json, quiet=quiet)


def _classify(chosen: dict[str, Any], *, no_report: bool, as_json: bool, quiet: bool) -> None:
    import sys

    from robust.cli.runs.suite_run import run_and_show
    from robust.suites.attack import classifier_job

    job = classifier_job(**chosen, command=["robust", *sys.argv[1:]])
    run_and_show(job, no_report=no_report, as_json=as_json, quiet=quiet)


def _style(chosen: dict[str, Any], *, no_report: bool, as_json: bool, quiet: bool) -> None:
    import sys
    from datetime import datetime

    from rich.console import Console

    from robust.report.page.build import REPORT
    from robust.report.progress import progress_bar, say_above
    from robust.style.folder import FILES
    from robust.style.options import attack_job
    from robust.style.report import print_report

    verbose = chosen.pop("verbose")
    chosen["models"] = [file for path in chosen["models"] for file in _style_networks(Path(path))]
    folder = chosen["out"] or f"runs/attack-{chosen['noise']}-{datetime.now():%Y%m%d-%H%M%S}"
    job = attack_job(**{**chosen, "out": folder}, command=["robust", *sys.argv[1:]])
    say(job.announcement, err=True)
    hint_to_fetch(chosen["loss_network"], job.loss_network)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("stylising", total=job.total, note="")
        outcome = job.run(
            on_output=lambda image: bar.update(task, advance=1, note=image),
            on_skip=lambda path, reason: say_above(bar, f"skipped {path}: {reason}"),
        )
    finish(folder, no_report=no_report, quiet=quiet or as_json)
    if outcome.skipped:
        say(f"{len(outcome.skipped)} files skipped; run.json names them", err=True)
    if as_json:
        say_json(outcome.summary)
    else:
        width = None if sys.stdout.isatty() else 150 if verbose else 80
        print_report(outcome.summary, Console(width=width, markup=False), verbose=verbose)
        files = FILES if no_report else (*FILES, REPORT)
        say("", f"{folder}: {', '.join(files)}")


def _style_networks(path: Path) -> list[str]:
    """The file, or those in a folder of ``robust train style`` and in the folders in it.

    Raises:
        InputError: the folder has none.
    """
    if not path.is_dir():
        return [str(path)]
    networks = sorted(map(str, (*path.glob(NETWORK), *path.glob(f"*/{NETWORK}"))))
    if not networks:
        raise InputError(
            f"{path} is a folder without style networks; for a classifier's run add --task classify"
        )
    return networks
