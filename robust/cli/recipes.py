"""``robust recipes``: how the paper's networks are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.values import RecipeName
from robust.report.table import Table

if TYPE_CHECKING:
    from asr_core.recipes import Recipe

HEAD = ("recipe", "backbone", "optim", "schedule", "lr", "wd", "epochs", "batch")


@click.command("recipes")
@click.argument("name", required=False, type=RecipeName())
@options.as_json()
def list_recipes(name: str | None, as_json: bool) -> None:
    """List the training recipes, or show NAME whole, with notes on what the paper leaves open.

    They are the columns of Tables 2 and 3 of the paper's supplementary, and our own for the
    embedded data.
    """
    from asr_core.recipes import load_recipe, recipes

    if name is not None:
        recipe = load_recipe(name)
        if as_json:
            say_json(recipe.as_dict())
        else:
            say(*_whole(recipe).split("\n"))
        return
    shipped = [load_recipe(known) for known in recipes()]
    if as_json:
        listing = [recipe.as_dict() for recipe in shipped]
        say_json(listing)
        return
    say(*Table(HEAD, map(_row, shipped), words=4).plain())


def _row(recipe: Recipe) -> tuple[str, ...]:
    return (
        recipe.name,
        recipe.backbone,
        recipe.optimizer,
        _schedule(recipe),
        f"{recipe.lr:g}",
        f"{recipe.weight_decay:g}",
        str(recipe.epochs),
        str(recipe.batch_size),
    )


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "cosine":
        return "cosine"
    return f"{'/'.join(f'{epoch:g}' for epoch in recipe.milestones)} × {recipe.gamma:g}"


def _whole(recipe: Recipe) -> str:
    head, *rows = (
        (field, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for field, value in recipe.as_dict().items()
        if field != "notes" and value not in (None, [])
    )
    lines = Table(head, rows, words=2).plain()
    for note in recipe.notes:
        lines.append(click.wrap_text(note, 98, initial_indent="- ", subsequent_indent="  "))
    return "\n".join(lines)
