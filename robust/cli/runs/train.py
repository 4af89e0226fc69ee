"""``robust train``, a classifier, and ``robust train style``, a style network of any norm."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from asr_core import limits
from robust.cli import names, options
from robust.cli.output import hint_to_fetch, leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.cli.runs.run_file import config_file, run_fields
from robust.cli.runs.train_classifier import classifier_options, train_classifier
from robust.cli.values import Named, Real, Whole


class TrainGroup(options.Command, click.Group):
    """``train`` with a hint for who gives a recipe as if it were a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``; ``--data`` and a folder is the old spelling of ``--data-folder``."""
        args = list(args)
        for place, (arg, after) in enumerate(zip(args, [*args[1:], ""], strict=True)):
            option, equals, value = arg.partition("=")
            if option == "--data" and (value if equals else after) not in names.data_sets():
                args[place] = f"--data-folder{equals}{value}"
                if not ctx.resilient_parsing:
                    options.hint("--data FOLDER", "--data-folder FOLDER")
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find ``style``; another word is an error that says how a recipe is given."""
        if args[0] in self.commands or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        known = ", ".join(self.commands)
        raise click.UsageError(
            f"unknown command {args[0]!r}. Known: {known}; a recipe is given by --recipe", ctx
        )


@click.group(
    "train",
    cls=TrainGroup,
    invoke_without_command=True,
    old={"--cpu": "--device=cpu"},
)
@classifier_options
@click.pass_context
def train(ctx: click.Context, **given: Any) -> None:
    """Train a classifier by a recipe (`robust recipes`), or with `style` a style network.

    The embedded data and a small network need no download and a few minutes. With ASR the gates
    are folded away at the end, and the plain model is proved to give the same classes. The same
    command again resumes an interrupted run. Several processes: torchrun -m robust train, or
    accelerate launch.
    """
    if ctx.invoked_subcommand is None:
        train_classifier(ctx, **given)
        return
    for option in ctx.command.params:
        if ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option.opts[0]} before {ctx.invoked_subcommand!r} is an option of classifiers; "
                "put the options of style networks behind it",
                ctx,
            )


@train.command("style", cls=options.Command, old={"--vgg-weights": "--loss-network"})
@config_file
@click.argument(
    "picture",
    metavar="[STYLE]",
    required=False,
    type=Named("style", names.styles, or_path="file"),
)
@options.style("What to paint like; the same as STYLE.")
@click.option(
    "--stroke-size",
    type=Real(*limits.STROKE_SIZES),
    help="Size of the strokes; 1: the style's shorter side is taken as 512 pixels.  [1]",
)
@options.norm(
    "Repeatable norm variant, or all.",
    "norms",
    type=Named("norm", lambda: [*names.norms(), "all"]),
    default=["bn+asr"],
    multiple=True,
)
@options.attention("Gate of bn+asr.")
@options.images("Repeatable: photographs to train on.  [those that ship]")
@options.training_noise
@click.option("--steps", type=Whole(1, limits.STEPS), help="Training steps.  [1000]")
@click.option(
    "--style-weight",
    type=Real(0, limits.STYLE_WEIGHT),
    help="More takes more of the style, less of the photograph.  [0.7; drawn styles: their own]",
)
@options.size("Side of the square crops, half of it at first.  [256]")
@options.batch_size("Images a step.  [2]")
@click.option(
    "--width", type=Whole(1, limits.WIDTH), help="Channels after the first convolution.  [16]"
)
@options.seed("Seed of the training.")
@options.loss_network()
@options.precision("Number format of the networks; bf16 is faster.  [no]", default=None)
@options.max_pixels()
@options.device()
@options.out("Run folder; with several variants, of their folders.  [runs/style-STYLE-NORM-SEED]")
@options.overwrite()
@options.no_report()
@options.quiet()
@options.as_json()
@click.pass_context
def style(
    ctx: click.Context,
    config_file: str | None,
    picture: str | None,
    norms: tuple[str, ...],
    max_pixels: int,
    device: str,
    out: str | None,
    overwrite: bool,
    no_report: bool,
    quiet: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train a network that paints like STYLE, a picture of yours or the name of a drawn style.

    The same command resumes an interrupted run. After the first steps it says how long it will
    take. With several variants each gets a folder in --out; those that are finished are kept.
    """
    given = run_fields(ctx, config_file, fields)
    if picture is not None:
        if ctx.get_parameter_source("style") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"STYLE is given twice: {picture!r} and by --style", ctx)
        given["style"] = picture
    if "style" not in given:
        raise click.UsageError("missing STYLE: a picture, or --style with a known name", ctx)
    from pathlib import Path

    from asr_core.saving.checkpoint import load_meta
    from robust.device import choose_device
    from robust.models.card import write_card
    from robust.report.progress import in_words, progress_bar, say_above
    from robust.training.style import StyleFolder, StyleRun
    from styletransfer.losses.choose import name_of
    from styletransfer.train import new_network

    if ctx.get_parameter_source("norms") is ParameterSource.DEFAULT and "norm" in given:
        norms = (given["norm"],)
    variants = names.norms() if "all" in norms else list(dict.fromkeys(norms))
    several = len(variants) > 1
    runs, files = [], []
    for norm in variants:
        run = StyleRun.from_fields({**given, "norm": norm})
        new_network(run.recipe)  # refuses a module that cannot be a gate before anything is read
        folder = Path(out or f"runs/{run.name}")
        if several and out:
            folder /= norm
        place = StyleFolder(folder, overwrite)
        files.append(place.network)
        if several and not overwrite and run.is_finished(place):
            say(f"{place.network} is there already", err=True)
            continue
        place.check()
        runs.append((run.settled(place), place))
    target = choose_device(device)
    leave_busy_cores()
    skipped: dict[Path, str] = {}

    def skip(path: Path, reason: str) -> None:
        if path not in skipped:
            say(f"skipped {path}: {reason}", err=True)
        skipped[path] = reason

    if runs:
        hint_to_fetch(given.get("loss_network", "auto"), name_of(runs[0][0].loss_network))
    for run, place in runs:
        say(
            f"style {run.style_image[0]}, norm {run.recipe.norm}: {run.recipe.steps} steps, "
            f"loss network: {name_of(run.loss_network)}",
            err=True,
        )
        photographs = run.photographs(max_pixels=max_pixels, on_skip=skip)
        with progress_bar(quiet=quiet) as bar:
            description = f"{run.style_image[0]}, {run.recipe.norm}"
            task = bar.add_task(description, total=run.recipe.steps, note="")

            def show(step: int, note: str) -> None:
                bar.update(task, completed=step, note=note)  # noqa: B023

            def estimated(seconds: float) -> None:
                if not quiet:
                    say_above(bar, f"about {in_words(seconds)} to go on this machine")

            run.train(place, photographs, device=target, on_step=show, on_estimate=estimated)
        write_card(place.network)
        finish(place.path, no_report=no_report, quiet=quiet or as_json)
        if not as_json:
            say(str(place.network))
    if as_json:
        say_json([{"file": str(file), **load_meta(file)} for file in files])
    if skipped:
        say(f"files skipped: {len(skipped)}", err=True)
