"""Gates over a run's epochs: changes (Fig. 6-13), stripe scores, and ASR's v beside live gates.

Each function draws ``channels`` random channels, chosen by ``seed``, and marks the epochs after
which the learning rate fell, ``decays``. It writes PNG, SVG, and NPZ with the arrays into
``folder``, and returns the files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from torch import Tensor

from asr_core.errors import InputError
from asr_core.stripes import AttentionRecord, chosen, differences, settled_epoch, stripe_score
from robust.report import escape
from robust.stripes.page import COLOURS, heat, panels, save, styled

_IMAGES = 4
_LAYERS = 4
_TICKS = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


@styled
def draw_differences(
    record: AttentionRecord,
    folder: Path,
    *,
    title: str,
    threshold: float,
    decays: Sequence[float],
    channels: int,
    seed: int,
) -> list[Path]:
    """``differences``: |v_{t+1} − v_t| of channels of all layers over epochs, by image.

    Each of the four images is labelled with the epoch from which 95 % of *all* its channels change
    by less than ``threshold``. Colours end at the 99th percentile.

    Raises:
        InputError: fewer than two epochs.
    """
    steps = torch.cat([differences(values) for values in record.live.values()], dim=-1)
    picked = chosen("channels", steps.shape[-1], channels, seed=seed)
    top = _rounded_up(steps[..., picked].flatten().quantile(0.99).item())
    images = min(_IMAGES, steps.shape[1])
    figure, axes = panels(1, images, height=2.8, title=title)
    for number, cell in enumerate(axes[0]):
        extent = (1, record.epochs, len(picked) + 0.5, 0.5)
        image = heat(cell, steps[:, number, picked].T, 0, top, extent=extent)
        settled = settled_epoch(steps[:, number], threshold=threshold)
        when = "not settled" if settled is None else f"settled after {settled}"
        cell.set_title(f"image {int(record.images[number])}: {when}")
        _epoch_axis(cell, record.epochs, decays)
    axes[0][0].set_ylabel("channel (random order)")
    figure.colorbar(image, ax=axes[0], label="|v(t+1) − v(t)|", extend="max", aspect=30, shrink=0.9)
    arrays = {name: differences(values) for name, values in record.live.items()}
    return save(figure, folder, "differences", {**arrays, "shown": picked})


@styled
def draw_scores(
    record: AttentionRecord, folder: Path, *, title: str, decays: Sequence[float]
) -> list[Path]:
    """``stripe-scores``: the stripe score of each layer after each epoch, from dark to light.

    Raises:
        InputError: fewer than two images.
    """
    scores = scores_over_epochs(record)
    figure, axes = panels(1, 1, width=4.2, height=2.8, title=title)
    cell, epochs = axes[0][0], range(1, record.epochs + 1)
    for number, (name, values) in enumerate(scores.items()):
        depth = 0.85 * number / max(1, len(scores) - 1)  # the end of the map is too pale for lines
        shown = escape.picture(name) if len(scores) <= 8 or number in (0, len(scores) - 1) else None
        cell.plot(epochs, values, color=colormaps[COLOURS](depth), marker=".", label=shown)
    cell.set_yscale("symlog", linthresh=_TICKS[1])  # a perfect stripe has its place, too
    cell.yaxis.set_minor_locator(NullLocator())
    low, high = cell.get_ylim()
    cell.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    cell.set_ylim(max(0, low), high)
    cell.grid(axis="y", linewidth=0.4, alpha=0.6)
    cell.set_ylabel("stripe score (0: perfect stripe)")
    _epoch_axis(cell, record.epochs, decays, shift=0.5, colour="black")
    cell.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize="small", title="layer")
    return save(figure, folder, "stripe-scores", scores)


def scores_over_epochs(record: AttentionRecord) -> dict[str, Tensor]:
    """The stripe score of each layer's live gates after each epoch, float64 (T,)."""
    return {
        name: torch.tensor([stripe_score(gates) for gates in values], dtype=torch.float64)
        for name, values in record.live.items()
    }


@styled
def draw_scales(
    asr: AttentionRecord,
    live: AttentionRecord | None,
    folder: Path,
    *,
    title: str,
    decays: Sequence[float],
    channels: int,
    seed: int,
) -> list[Path]:
    """``scales``: v of ASR over epochs, beside a live network's gates (mean over images).

    Layers are paired by their order; at most four are shown, evenly spread. Both sides share one
    colour scale and show channels of the same numbers, which do not correspond to each other.

    Raises:
        InputError: the two runs have gates of different widths.
    """
    sides: list[tuple[str, Mapping[str, Tensor]]] = [("v of ASR", asr.asr)]
    if live is not None:
        means = {name: values.mean(1) for name, values in live.live.items()}
        widths = [[v.shape[1] for v in side.values()] for side in (asr.asr, means)]
        if widths[0] != widths[1]:
            raise InputError(
                f"ASR has gates of {widths[0]} channels, live attention of "
                f"{widths[1]}: the two runs are not of one backbone"
            )
        sides.append(("live gate, mean over images", means))
    names = [list(side) for _, side in sides]
    layers = _spread(len(names[0]), _LAYERS)
    low = min(values.min().item() for _, side in sides for values in side.values())
    high = max(values.max().item() for _, side in sides for values in side.values())
    figure, axes = panels(len(sides), len(layers), height=2.4, title=title)
    for row, (said, side) in enumerate(sides):
        for column, layer in enumerate(layers):
            cell, values = axes[row][column], side[names[row][layer]]
            picked = chosen("channels", values.shape[1], channels, seed=seed)
            extent = (0.5, len(values) + 0.5, len(picked) + 0.5, 0.5)
            image = heat(cell, values[:, picked].T, low, high, extent=extent)
            cell.set_title(escape.picture(names[row][layer]))
            _epoch_axis(cell, len(values), decays, shift=0.5)
        axes[row][0].set_ylabel(f"{said}\nchannel (random order)")
    every = [cell for row in axes for cell in row]
    figure.colorbar(image, ax=every, label="attention value", aspect=30, shrink=0.9)
    kept = {f"asr/{name}": values for name, values in asr.asr.items()}
    if live is not None:
        kept |= {f"live/{name}": values for name, values in means.items()}
    return save(figure, folder, "scales", kept)


def _epoch_axis(
    cell: Axes, last: int, decays: Sequence[float], *, shift: float = 0, colour: str = "white"
) -> None:
    cell.set_xlabel("epoch")
    cell.set_xticks(range(1, last + 1, max(1, math.ceil((last - 1) / 8))))
    for epoch in decays:
        if 1 <= epoch < last:
            cell.axvline(epoch + shift, color=colour, linestyle="--", linewidth=1.2)


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _rounded_up(value: float) -> float:
    """The next of 1, 2, 5 × 10^k, for the end of a scale of colours."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
