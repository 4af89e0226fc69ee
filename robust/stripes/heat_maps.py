"""Attention over images: channel gates (Fig. 17-23) and CBAM's spatial half (Fig. 24)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from asr_core.stripes import chosen, stripe_score
from robust.report import escape
from robust.stripes.measure import Gates
from robust.stripes.page import heat, panels, save, styled

_COLUMNS = 4
_BLOCKS = 5


@styled
def draw_stripes(
    values: Mapping[str, Tensor], folder: Path, *, title: str, channels: int, seed: int
) -> list[Path]:
    """``stripes``: a heat map per layer of ``values``, (N, C): images down, random channels across.

    All layers share one colour scale; layers of one width show the same channels. A layer's title
    has its stripe score, over all its channels. Returns the files: PNG, SVG, and the values shown
    as NPZ.
    """
    shown = {
        name: gate[:, chosen("channels", gate.shape[1], channels, seed=seed)]
        for name, gate in values.items()
    }
    low = min(gate.min().item() for gate in shown.values())
    high = max(gate.max().item() for gate in shown.values())
    columns = min(len(shown), _COLUMNS)
    figure, axes = panels(-(-len(shown) // columns), columns, title=title)
    cells = [cell for row in axes for cell in row]
    for place, (name, gate) in enumerate(shown.items()):
        score = stripe_score(values[name])
        image = heat(cells[place], gate, low, high)
        shown_name = escape.picture(name.removesuffix(".attention"))
        cells[place].set_title(f"{shown_name}: stripe score {score:.3g}")
        if place % columns == 0:
            cells[place].set_ylabel("image")
        if place + columns >= len(shown):
            cells[place].set_xlabel("channel (random order)")
    for empty in cells[len(shown) :]:
        empty.set_axis_off()
    figure.colorbar(image, ax=cells, label="attention value", aspect=30, shrink=0.9)
    return save(figure, folder, "stripes", shown)


@styled
def draw_spatial(gates: Gates, folder: Path, *, title: str) -> list[Path]:
    """``spatial``: each image, and its spatial attention block by block (Fig. 24)."""
    names = list(gates.spatial)
    step = max(1.0, (len(names) - 1) / (_BLOCKS - 1))
    picked = [names[round(i * step)] for i in range(min(_BLOCKS, len(names)))]
    low = min(gates.spatial[name].min().item() for name in picked)
    high = max(gates.spatial[name].max().item() for name in picked)
    figure, axes = panels(len(gates.shown), len(picked) + 1, width=1.15, height=1.15, title=title)
    for row, picture in enumerate(gates.shown):
        axes[row][0].imshow(picture.permute(1, 2, 0).numpy())
        axes[row][0].set_ylabel(f"image {int(gates.images[row])}")
        for column, name in enumerate(picked, start=1):
            image = heat(axes[row][column], gates.spatial[name][row], low, high)
    for column, name in enumerate(["image", *picked]):
        axes[0][column].set_title(escape.picture(name.removesuffix(".attention")))
    for cell in (cell for row in axes for cell in row):
        cell.set_xticks([])
        cell.set_yticks([])
        cell.set_aspect("equal")
    every = [cell for row in axes for cell in row]
    figure.colorbar(image, ax=every, label="spatial attention", aspect=30, shrink=0.8)
    arrays = {name: gates.spatial[name] for name in picked}
    return save(figure, folder, "spatial", {"images": gates.shown, **arrays})
