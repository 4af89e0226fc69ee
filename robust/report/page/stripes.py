"""The page of ``robust stripes``: heat maps, and how alike attention is."""

from __future__ import annotations

from pathlib import Path

from robust.report.page.made import made
from robust.report.page.read import read_run
from robust.report.page.values import Answered, Block, Page, Picture, Pictures, Section, Shown
from robust.stripes.table import layers_table

_TERMS = [
    (
        "stripe score",
        "variance of a channel's gate between images over that between channels; 0 is a perfect "
        "stripe",
        "robust: robust.stripes.measure.",
    ),
    (
        "deviation",
        "of a channel's gate over images, mean over channels; in units of the gate",
        "robust: asr_core.stripes.spread.",
    ),
    (
        "η²",
        "the share of all variance that lies between channels; 1 is a perfect stripe",
        "Fisher 1925. robust: asr_core.stripes.spread.",
    ),
    ("trimmed", "without the 5 % of images whose gates are farthest from the others'", ""),
    ("untrained", "of the same network before training", ""),
    ("permuted", "η² with the channels of each image in random order: what chance leaves", ""),
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
    pictures = _pictures(folder, found.get("pictures"))
    sections = []
    if pictures[1:]:
        sections.append(Section("pictures", "Pictures", pictures[1:]))
    if layers:
        sections.append(Section("tables", "Tables", [Shown(layers_table(found), "Layers", _TERMS)]))
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
