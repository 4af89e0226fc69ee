"""The page of ``robust stripes``: heat maps, and how alike attention is."""

from __future__ import annotations

from pathlib import Path

from robust.report.page.made import made
from robust.report.page.read import read_run
from robust.report.page.values import Answered, Block, Page, Picture, Pictures, Section, Shown
from robust.report.table import Table

_TERMS = [
    (
        "stripe score",
        "variance of a channel's gate between images over that between channels; 0 is a perfect "
        "stripe",
        "robust: robust.stripes.measure.",
    ),
    ("deviation between images", "of a channel's gate, mean over channels", ""),
    ("settled after", "the epoch from which a layer's gates change by less than the threshold", ""),
]
_PICTURES = {
    "stripes": "Gates: images from top to bottom, channels from left to right",
    "spatial": "Spatial attention",
    "differences": "Change of the gates from epoch to epoch",
    "scores": "Stripe score by epoch",
    "scales": "v of ASR by epoch, beside live gates",
}


def stripes_page(folder: Path) -> Page:
    """The page of the figures in ``folder``."""
    found = read_run(folder / "stripes.json")
    layers = found["layers"]
    settled = (found["convergence"] or {}).get("layers", {})
    scored = [layer for layer in layers if layer["stripe"] is not None]
    answers = []
    if scored:
        low, high = (pick(scored, key=lambda each: each["stripe"]) for pick in (min, max))
        answers.append(
            Answered(
                "Is attention the same for every image?",
                f"Stripe score from {low['stripe']:.3g} ({low['name']}) to {high['stripe']:.3g} "
                f"({high['name']}) over {found['images']} images; 0: the same on every one.",
            )
        )
    else:
        answers.append(Answered("How did attention move?", "See the pictures: no live gates."))
    rows = [
        (
            layer["name"], str(layer["channels"]), f"{layer['mean']:.4f}",
            f"{layer['std_between_images']:.4f}",
            "inf" if layer["stripe"] is None else f"{layer['stripe']:.4g}",
            "" if settled.get(layer["name"]) is None else str(settled[layer["name"]]),
        )
        for layer in layers
    ]  # fmt: skip
    head = (
        "layer", "channels", "mean gate", "deviation between images", "stripe score",
        "settled after, epochs",
    )  # fmt: skip
    pictures = _pictures(folder, found.get("pictures"))
    sections = []
    if pictures[1:]:
        sections.append(Section("pictures", "Pictures", pictures[1:]))
    if rows:
        sections.append(Section("tables", "Tables", [Shown(Table(head, rows), "Layers", _TERMS)]))
    facts = {
        name: found[name]
        for name in ("source", "title", "data", "seed", "refused")
        if found.get(name) not in (None, [])
    }
    facts["images_drawn"] = found["images"]
    if convergence := found["convergence"]:
        facts["convergence"] = {k: v for k, v in convergence.items() if k != "layers"}
    sections.append(Section("made", "How it was made", [made(facts)]))
    return Page(f"stripes: {found['title']}", answers, pictures[:1], sections)


def _pictures(folder: Path, names: list[str] | None) -> list[Block]:
    """The PNGs that were drawn, in the order of what they show; without ``names`` all there are."""
    blocks: list[Block] = []
    found = [path for path in folder.glob("*.png") if names is None or path.name in names]
    for path in sorted(found, key=lambda path: (_order(path.stem), path.name)):
        words = next((text for name, text in _PICTURES.items() if name in path.stem), path.stem)
        picture = Picture(path.read_bytes(), f"{words}, as a heat map or plot", "", "image/png")
        blocks.append(Pictures([picture], f"{words}.", wide=True))
    return blocks


def _order(stem: str) -> int:
    return next((place for place, name in enumerate(_PICTURES) if name in stem), len(_PICTURES))
