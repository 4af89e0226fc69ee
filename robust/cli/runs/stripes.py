"""``robust stripes``: how alike the attention of different images is, in pictures and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import leave_busy_cores, say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Whole
from robust.report.table import Table

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
    head = (
        "layer", "channels", "mean", "deviation", "trimmed", "untrained",
        "η²", "trimmed", "permuted", "untrained", "stripe score", "settled after",
    )  # fmt: skip
    rows = []
    settled = {} if drawn.convergence is None else drawn.convergence.layers
    for layer in drawn.report["layers"]:
        score = "inf" if layer["stripe"] is None else f"{layer['stripe']:.4g}"
        when = settled.get(layer["name"])
        rows.append(
            (
                layer["name"],
                str(layer["channels"]),
                f"{layer['mean']:.4f}",
                *(_number(layer[f"std_between_images{kind}"], 4) for kind in _DEVIATIONS),
                *(_number(layer[f"eta2{kind}"], 3) for kind in _SHARES),
                score,
                "-" if when is None else f"epoch {when}",
            )
        )
    if rows:
        say(*Table(head, rows, words=len(head)).plain())
    if drawn.convergence is not None:
        say(_sentence(drawn.convergence))
    say(*map(str, drawn.files))


_DEVIATIONS = ("", "_trimmed", "_untrained")
_SHARES = ("", "_trimmed", "_permuted", "_untrained")


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _sentence(moved: Convergence) -> str:
    when = "not before the last" if moved.settled is None else f"after {moved.settled}"
    said = f"95 % of gates change by less than {moved.threshold:g} an epoch: {when}"
    said += f" of {moved.epochs} epochs"
    if moved.at_decay is None:
        return said
    return f"{said}; {moved.at_decay:.1%} do from the first decay of the learning rate on"
