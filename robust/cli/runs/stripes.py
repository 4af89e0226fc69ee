"""``robust stripes``: how alike the attention of different images is, in pictures and figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Whole
from robust.stripes.table import HEAD, layers_table

if TYPE_CHECKING:
    from robust.stripes.measure import Convergence


@click.command("stripes", cls=options.Command, old={"--images": "--max-images"})
@click.argument("source", metavar="CHECKPOINT", type=options.CHECKPOINT)
@options.data("Data set.  [what the run was trained on]")
@options.data_folder()
@options.split("Where the images are from.")
@options.max_images("Images in the heat maps, at most.", default=100)
@click.option(
    "--channels",
    type=Whole(1, limits.PICTURED),
    default=100,
    show_default=True,
    help="Channels of each layer in the heat maps, at most.",
)
@options.seed("Seed of the choice of images and channels.")
@click.option(
    "--threshold",
    type=float,
    default=0.05,
    show_default=True,
    help="A gate that changes by less in an epoch has settled.",
)
@click.option(
    "--beside", type=options.CHECKPOINT, help="Another run: of ASR and live, v beside gates."
)
@options.model()
@options.device()
@options.out("Folder of the pictures.  [stripes, in the run or beside the file]")
@options.no_report()
@options.as_json()
def stripes(
    source: str,
    data: str | None,
    data_folder: str | None,
    split: str,
    max_images: int,
    channels: int,
    seed: int,
    threshold: float,
    beside: str | None,
    model: str | None,
    device: str,
    out: str | None,
    no_report: bool,
    as_json: bool,
) -> None:
    """Draw the attention of CHECKPOINT on many images, and score how alike it is.

    A folder of `robust train`, a state in one, or a model of save_model, with live attention; or,
    with --model, a state dict of torchvision's or timm's network as published. The
    deviation of a channel's gate over images is in units of the gate; η² is the share of variance
    that lies between channels, and 1 a perfect stripe. Both are told without the 5 % oddest images,
    and beside an untrained network; η² beside channels in random order too. The stripe score is
    variance between images over that between channels. CBAM's spatial attention is drawn too. A
    run that was trained with --record-attention also shows how its gates moved from epoch to epoch.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.stripes.draw import draw
    from robust.stripes.source import open_source

    target = choose_device(device)
    leave_busy_cores()
    place = None if data_folder is None else Path(data_folder)
    opened = open_source(source, data=data, data_folder=place, builder=model)
    other = None if beside is None else open_source(beside, data=data, data_folder=place)
    opened.model.to(target)
    drawn = draw(
        opened,
        getattr(opened.data, split).to(target),
        opened.folder if out is None else Path(out),
        images=max_images,
        channels=channels,
        seed=seed,
        threshold=threshold,
        beside=other,
    )
    finish(drawn.files[-1].parent, no_report=no_report, quiet=as_json)
    if as_json:
        say_json(drawn.report)
        return
    if drawn.report["layers"]:
        table = layers_table(drawn.report)
        say(*replace(table, words=len(HEAD)).plain())
    if drawn.convergence is not None:
        say(_sentence(drawn.convergence))
    say(*map(str, drawn.files))


def _sentence(moved: Convergence) -> str:
    when = "not before the last" if moved.settled is None else f"after {moved.settled}"
    said = f"95 % of gates change by less than {moved.threshold:g} an epoch: {when}"
    said += f" of {moved.epochs} epochs"
    if moved.at_decay is None:
        return said
    return f"{said}; {moved.at_decay:.1%} do from the first decay of the learning rate on"
