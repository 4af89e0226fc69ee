"""``robust train``, a classifier, and ``robust train style``, a style network of any norm."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from asr_core import limits
from robust.cli import names, options
from robust.cli.output import say
from robust.cli.runs.train_classifier import classifier_options, train_classifier
from robust.cli.values import Named, Whole


class TrainGroup(options.Command, click.Group):
    """``train`` with a hint for who gives a recipe as if it were a command."""

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
    old={"--data": "--data-folder", "--cpu": "--device=cpu"},
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
        train_classifier(**given)
        return
    for name in given:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name.replace('_', '-')} before {ctx.invoked_subcommand!r} is an option of "
                "classifiers; put the options of style networks behind it",
                ctx,
            )


@train.command("style")
@click.option(
    "--style",
    required=True,
    type=Named("style", names.styles, or_path="file"),
    help="What to paint like.",
)
@options.norm("Repeatable norm variant, or all.", "norms", "all", default=["bn+asr"], multiple=True)
@options.attention("Gate of bn+asr.")
@options.images("Repeatable: photographs to train on.  [those that ship]")
@options.training_noise
@click.option("--steps", type=Whole(1, limits.STEPS), help="Training steps.  [800]")
@options.size("Side of the square crops, half of it at first.  [256]")
@options.batch_size(help="Images a step.  [2]")
@click.option(
    "--width", type=Whole(1, limits.WIDTH), help="Channels after the first convolution.  [16]"
)
@options.seed("Seed of the training.")
@options.vgg_weights
@options.max_pixels()
@options.device()
@options.out("Run folder; with several variants, of their folders.  [runs/style-STYLE-NORM-SEED]")
@options.overwrite
@options.quiet
def style(
    style: str,
    norms: tuple[str, ...],
    attention: str,
    images: tuple[str, ...],
    noise: str | None,
    severity: str | None,
    seed: int,
    vgg_weights: str | None,
    max_pixels: int,
    device: str,
    out: str | None,
    overwrite: bool,
    quiet: bool,
    **chosen: int | None,
) -> None:
    """Train a style network, or one of each --norm. The same command resumes an interrupted run.

    With several variants each gets a folder in --out; those that are finished are kept.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.norm_noise.training import parse_train_noise
    from robust.report.progress import progress_bar
    from robust.style.training_run import StyleRun
    from styletransfer.images.styles import style_image
    from styletransfer.losses.choose import loss_network
    from styletransfer.losses.perceptual import PerceptualLoss
    from styletransfer.recipe import StyleRecipe
    from styletransfer.train import new_network

    disturbance = parse_train_noise(noise, severity)
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    given |= disturbance.batch_size(given.get("batch_size"))
    if "size" in given:
        given["coarse_size"] = StyleRecipe.coarse_size_for(given["size"])
    name, picture = style_image(style)
    variants = names.norms() if "all" in norms else list(dict.fromkeys(norms))
    several = len(variants) > 1
    runs = []
    for norm in variants:
        recipe = StyleRecipe(norm=norm, attention=attention, seed=seed, **given)
        new_network(recipe)  # refuses a module that cannot be a gate before anything is read
        folder = Path(out or f"runs/style-{name}-{norm}-{seed}")
        if several and out:
            folder /= norm
        run = StyleRun(folder, recipe, style=name, noise=disturbance, images=images)
        if several and not overwrite and run.is_finished():
            say(f"{run.network} is there already", err=True)
            continue
        run.check(overwrite=overwrite)
        runs.append(run)
    target = choose_device(device)
    skipped: dict[Path, str] = {}

    def skip(path: Path, reason: str) -> None:
        if path not in skipped:
            say(f"skipped {path}: {reason}", err=True)
        skipped[path] = reason

    loss = PerceptualLoss(loss_network(vgg_weights), picture)
    for run in runs:
        photographs = run.photographs(max_pixels=max_pixels, on_skip=skip)
        with progress_bar(quiet=quiet) as bar:
            task = bar.add_task(f"{name}, {run.recipe.norm}", total=run.recipe.steps, note="")

            def show(step: int, note: str) -> None:
                bar.update(task, completed=step, note=note)  # noqa: B023

            run.train(loss, picture, photographs, device=target, overwrite=overwrite, on_step=show)
        say(str(run.network))
    if skipped:
        say(f"files skipped: {len(skipped)}", err=True)
