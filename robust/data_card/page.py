"""The card as a table for the terminal, as Markdown, and a sheet of pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.utils import make_grid

from asr_core.data import ImageSet
from robust.data_card.card import Card, Check
from robust.report import escape
from robust.report.table import Table

COLUMNS, ROWS = 25, 6
"""Classes and images of each in a sheet, at most."""


def table(card: Card) -> Table:
    """The conditions of admission: what was found, and what is asked."""
    rows = [
        (
            check.name,
            "not measured" if check.value is None else f"{check.value:.1%}",
            _chances(check, card),
            _bounds(check),
            {True: "yes", False: "no", None: "-"}[check.ok],
        )
        for check in card.checks
    ]
    return Table(("condition", "found", "× chance", "asked", "met"), rows)


def lines(card: Card) -> list[str]:
    """The rest of the card, in sentences."""
    train, validation, test = card.sizes
    said = [
        f"{card.name}: {card.classes} classes, {card.image_size} × {card.image_size} pixels; "
        f"{train:,} to train, {validation:,} to validate, {test:,} to test; chance "
        f"{card.chance:.2%}",
    ]
    if min(seen < size for seen, size in zip(card.seen, card.sizes, strict=True)):
        said.append(f"looked at {', '.join(f'{seen:,}' for seen in card.seen)} of them")
    for each in card.duplicates:
        said.append(
            f"of {each.images:,} {each.part} images {each.exact:,} are in {each.other} too, and "
            f"{each.near:,} nearly"
        )
    if (network := card.network) is not None:
        accuracies = ", ".join(f"{value:.2%}" for value in network.test)
        said.append(
            f"{network.recipe}, epochs {network.epochs}: test {accuracies}; in training "
            f"{network.train[-1]:.1%}"
        )
        if network.deviation is not None:
            said.append(f"deviation between seeds: {100 * network.deviation:.2f} points")
        for seeds, effect in card.visible:
            said.append(
                f"{seeds} seeds each show a difference of {100 * effect:.2f} points (80 % power)"
            )
        if card.visible_in_images is not None:
            said.append(
                f"one pair of networks, by its {test:,} test images: at most "
                f"{100 * card.visible_in_images:.2f} points"
            )
    return said


def verdict(card: Card) -> str:
    """The verdict with its reasons, as a sentence."""
    failed = [
        f"{check.name} too {'low' if check.value < check.bounds[0] else 'high'}"
        for check in card.checks
        if check.ok is False and check.value is not None
    ]
    if failed:
        return f"not admitted: {', '.join(failed)}"
    missing = [check.name for check in card.checks if check.ok is None]
    if missing:
        return f"not decided: {', '.join(missing)} not measured"
    return "admitted: it needs a network, and leaves it room"


def markdown(card: Card, command: str) -> str:
    """The whole card as a page that names the ``command`` that made it."""
    listed = "\n".join(f"- {escape.markdown(line)}" for line in lines(card))
    return (
        f"# {escape.markdown(card.name)}\n\n**{verdict(card)}**\n\n{table(card).markdown()}\n"
        f"{listed}\n\n![Test images, a column a class](sheet.png)\n\n"
        f"Made by <code>{escape.markdown(command)}</code>.\n"
    )


def sheet(data: ImageSet) -> Tensor:
    """The first test images of the first classes, a column a class: (3, H, W) in [0, 1]."""
    labels = data.test.labels
    shown = torch.unique(labels)[:COLUMNS].tolist()
    found = [(labels == label).nonzero()[:ROWS, 0] for label in shown]
    rows = min(len(places) for places in found)
    chosen = torch.stack([places[:rows] for places in found], 1).flatten()
    return make_grid(data.test.test_batch(chosen).cpu(), nrow=len(shown), padding=1, pad_value=1)


def _bounds(check: Check) -> str:
    low, high = check.bounds
    return f"at most {high:.1%}" if low == 0 else f"{low:.0%} to {high:.0%}"


def _chances(check: Check, card: Card) -> str:
    simple = check.name in ("first-order QDA", "logistic on pixels")
    return f"{check.value / card.chance:.2f}" if simple and check.value is not None else ""
