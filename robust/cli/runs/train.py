"""``robust train``, a classifier, and ``robust train style``, a style network of any norm."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from robust.cli.output import say
from robust.cli.runs.train_classifier import classifier_options, train_classifier


class TrainGroup(click.Group):
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


@click.group("train", cls=TrainGroup, invoke_without_command=True)
@classifier_options
@click.pass_context
def train(ctx: click.Context, **options: Any) -> None:
    """Train a classifier by a recipe (`robust recipes`), or with `style` a style network.

    The embedded data and a small network need no download and a few minutes. With ASR the gates
    are folded away at the end, and the plain model is proved to give the same classes. The same
    command again resumes an interrupted run. Several processes: torchrun -m robust train, or
    accelerate launch.
    """
    if ctx.invoked_subcommand is None:
        train_classifier(**options)
        return
    for name in options:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name.replace('_', '-')} before {ctx.invoked_subcommand!r} is an option of "
                "classifiers; put the options of style networks behind it",
                ctx,
            )


@train.command("style")
@click.option("--style", required=True, help="Style: a known name, or an image file.")
@click.option("--norm", default="bn+asr", show_default=True, help="Norm variant.")
@click.option("--attention", default="se", show_default=True, help="Gate of bn+asr.")
@click.option(
    "--images", multiple=True, help="Files or folders to train on.  [embedded photographs]"
)
@click.option("--noise", help="Train under this noise (the train phase of an attack).")
@click.option(
    "--severity",
    help="Its severity: a batch size (batch), SCALE,SHIFT (constant), 0..1 or uniform (random).  "
    "[4; 0.5,0.5; uniform]",
)
@click.option("--steps", type=int, help="Training steps.  [800]")
@click.option("--size", type=int, help="Side of the crops in pixels, half of it at first.  [256]")
@click.option("--batch-size", type=int, help="Images a step.  [2]")
@click.option("--width", type=int, help="Channels after the first convolution.  [16]")
@click.option("--seed", type=int, default=0, show_default=True, help="Training seed.")
@click.option("--vgg-weights", help="VGG16 weights for the loss: a file, or 'cached'.")
@click.option("--max-pixels", type=int, default=50_000_000, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", type=click.Path(), help="Run folder.  [runs/style-STYLE-NORM-SEED]")
@click.option("--overwrite", is_flag=True, help="Start anew in a folder that is in use.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def style(
    style: str,
    norm: str,
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
    """Train a style network. The same command again resumes an interrupted run."""
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
    recipe = StyleRecipe(norm=norm, attention=attention, seed=seed, **given)
    new_network(recipe)  # an unknown norm or attention shows before anything is read
    name, picture = style_image(style)
    folder = Path(out or f"runs/style-{name}-{norm}-{seed}")
    run = StyleRun(folder, recipe, style=name, noise=disturbance, images=images)
    run.check(overwrite=overwrite)
    target = choose_device(device)
    skipped: list[Path] = []

    def skip(path: Path, reason: str) -> None:
        skipped.append(path)
        say(f"skipped {path}: {reason}", err=True)

    photographs = run.photographs(max_pixels=max_pixels, on_skip=skip)
    loss = PerceptualLoss(loss_network(vgg_weights), picture)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task(f"{name}, {norm}", total=recipe.steps, note="")
        path = run.train(
            loss,
            picture,
            photographs,
            device=target,
            overwrite=overwrite,
            on_step=lambda step, note: bar.update(task, completed=step, note=note),
        )
    if skipped:
        say(f"files skipped: {len(skipped)}", err=True)
    say(str(path))
