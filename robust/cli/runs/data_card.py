"""``robust data card``: whether a data set can decide what attention does."""

from __future__ import annotations

import click

from asr_core import limits
from robust.cli import names, options
from robust.cli.output import say, say_json
from robust.cli.values import Named, Whole


@click.group("data")
def data() -> None:
    """What a data set can decide."""


@data.command("card")
@click.argument("name", metavar="DATA", type=Named("data set", names.data_sets, or_path="folder"))
@options.data_folder()
@click.option(
    "--image-size", type=Whole(2, limits.SIDE), help="Crop the images of files to this.  [64]"
)
@click.option("--quick", is_flag=True, help="Train no network; the set is then not admitted.")
@options.epochs("Of the small network.  [its recipe's, or 30]")
@options.train_seeds("Networks to train; two and more give their deviation.", default=3)
@options.workers("Networks trained at a time.", type=Whole(1, limits.WORKERS), default=1)
@options.precision("Number format of the training.", type=options.TRAINING)
@options.device("Where to train.", default="auto")
@options.out("Folder of the card.  [runs/data-card/DATA]")
@options.as_json()
@options.quiet()
def card(
    name: str,
    data_folder: str | None,
    image_size: int | None,
    quick: bool,
    epochs: int | None,
    train_seeds: int,
    workers: int,
    precision: str,
    device: str,
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say whether studies of attention may use DATA, a set's name or a folder of class folders.

    A set is admitted if colours, contrasts and single pixels tell little of the class (a quadratic
    discriminant on seven first-order numbers: at most 1.5 times chance; logistic regression on
    pixels: 3 times), a small network gets 60 to 92 % right, and test images are not in training.
    Writes card.json, card.md and sheet.png. The same command trains the networks that are missing.
    """
    import shlex
    import sys
    from dataclasses import replace
    from pathlib import Path

    from asr_core.data import DATASETS, open_data
    from asr_core.errors import InputError
    from asr_core.saving.exclusive import exclusive
    from asr_core.saving.files import write_json, write_text
    from robust.data_card import measure, page
    from robust.sweep.runs import run_missing
    from styletransfer.images.read import write_image

    of_files = name not in DATASETS or name in ("folder", "imagenet")
    size = (image_size or measure.FILES_SIZE) if of_files else image_size
    files = None if data_folder is None else Path(data_folder)
    images = open_data(name, folder=files, image_size=size)
    shown = name if name in DATASETS else Path(name).resolve().name
    folder = Path(out or f"runs/data-card/{shown}")
    with exclusive(folder):
        found = measure.measure(
            images, tell=lambda what: None if quiet else say(f"{name}: {what}", err=True)
        )
        found = replace(found, name=shown)
        if not quick:
            recipe = measure.recipe_for(images.name, images.image_size, len(images.train), epochs)
            place = Path(name).resolve() if name not in DATASETS else files
            runs = measure.training_runs(
                recipe, train_seeds, folder, data_folder=place, precision=precision
            )
            if failed := run_missing(
                runs, workers=workers, say=recipe.name, device=device, quiet=quiet
            ):
                raise InputError("; ".join(failed))
            found = replace(found, network=measure.trained(runs, recipe))
        write_image(folder / "sheet.png", page.sheet(images))
        write_json(folder / "card.json", {**found.as_dict(), "verdict": found.verdict})
        write_text(folder / "card.md", page.markdown(found, shlex.join(["robust", *sys.argv[1:]])))
    if as_json:
        say_json({**found.as_dict(), "verdict": found.verdict})
        return
    say(*page.table(found).plain(), "", *page.lines(found), "", page.verdict(found))
    say("", f"{folder}: card.json, card.md, sheet.png")
