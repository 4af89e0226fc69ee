"""``robust stripes``: how alike the attention of different images is, in pictures and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from robust.cli.output import say, say_json
from robust.report.table import Table

if TYPE_CHECKING:
    from robust.stripes.measure import Convergence


@click.command("stripes")
@click.argument("source", metavar="RUN_OR_CHECKPOINT")
@click.option("--data", help="Data set: a name, or a folder of class folders.  [the run's]")
@click.option("--data-folder", type=click.Path(), help="Where the named set's files are.")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Where the images are from.",
)
@click.option("--images", type=int, default=100, show_default=True, help="In the heat maps.")
@click.option("--channels", type=int, default=100, show_default=True, help="Of each layer.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which images and channels.")
@click.option(
    "--threshold",
    type=float,
    default=0.05,
    show_default=True,
    help="A gate that changes by less in an epoch has settled.",
)
@click.option("--beside", type=click.Path(), help="Another run: of ASR and live, v beside gates.")
@click.option("--model", help="Build from this MODEL; needed where the file names own code.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--out", type=click.Path(), help="Folder.  [stripes, in the run or beside the file]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def stripes(
    source: str,
    data: str | None,
    data_folder: str | None,
    split: str,
    images: int,
    channels: int,
    seed: int,
    threshold: float,
    beside: str | None,
    model: str | None,
    device: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Draw the attention of RUN_OR_CHECKPOINT on many images, and score how alike it is.

    A folder of `robust train`, a state in one, or a model of save_model, with live attention. The
    stripe score of a layer is the variance of a channel's gate between images over that between
    channels: 0 is a perfect stripe. CBAM's spatial attention is drawn too. A run that was trained
    with --record-attention also shows how its gates moved from epoch to epoch.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.stripes.draw import draw
    from robust.stripes.source import open_source

    target = choose_device(device)
    place = None if data_folder is None else Path(data_folder)
    opened = open_source(source, data=data, data_folder=place, builder=model)
    other = None if beside is None else open_source(beside, data=data, data_folder=place)
    opened.model.to(target)
    drawn = draw(
        opened,
        getattr(opened.data, split).to(target),
        opened.folder if out is None else Path(out),
        images=images,
        channels=channels,
        seed=seed,
        threshold=threshold,
        beside=other,
    )
    if as_json:
        say_json(drawn.report)
        return
    head = ("layer", "channels", "mean", "std between images", "stripe score", "settled after")
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
                f"{layer['std_between_images']:.4f}",
                score,
                "-" if when is None else f"epoch {when}",
            )
        )
    if rows:
        say(*Table(head, rows, words=len(head)).plain())
    if drawn.convergence is not None:
        say(_sentence(drawn.convergence))
    say(*map(str, drawn.files))


def _sentence(found: Convergence) -> str:
    when = "not before the last" if found.settled is None else f"after {found.settled}"
    said = f"95 % of gates change by less than {found.threshold:g} an epoch: {when}"
    said += f" of {found.epochs} epochs"
    if found.at_decay is None:
        return said
    return f"{said}; {found.at_decay:.1%} do from the first decay of the learning rate on"
