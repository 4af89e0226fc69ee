"""Gates over a run's epochs: changes (Fig. 6-13), stripe scores, and ASR's v beside live gates."""

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
    decays: Sequence[float] = (),
    channels: int = 100,
    seed: int = 0,
) -> list[Path]:
    """``differences``: |v_{t+1} − v_t| of random channels of all layers over epochs, by image.

    Decays of the learning rate are dashed lines; each of the four images says from when on 95 %
    of *all* its channels change by less than ``threshold``. Colours end at the 99th percentile.

    Args:
        record: of a run with live gates, at least two epochs.
        folder: to write to.
        title: over the figure.
        threshold: of :func:`asr_core.stripes.settled_epoch`.
        decays: epochs after which the learning rate fell.
        channels: how many to show, at most.
        seed: of their choice.

    Returns:
        The files: PNG, SVG, and NPZ with the differences of all layers and the channels shown.

    Raises:
        InputError: no live gates or fewer than two epochs in the record.
    """
    if not record.live:
        raise InputError("the record has no live gates, whose changes could be drawn")
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
        _epoch_axis(cell, 1, record.epochs, decays)
    axes[0][0].set_ylabel("channel (random order)")
    figure.colorbar(image, ax=axes[0], label="|v(t+1) − v(t)|", extend="max", aspect=30, shrink=0.9)
    arrays = {name: differences(values) for name, values in record.live.items()}
    return save(figure, folder, "differences", {**arrays, "shown": picked})


@styled
def draw_scores(
    record: AttentionRecord, folder: Path, *, title: str, decays: Sequence[float] = ()
) -> list[Path]:
    """``stripe-scores``: the stripe score of each layer after each epoch, from dark to light.

    Do gates become stripes in training? Decays of the learning rate are dashed lines.

    Args:
        record: of a run with live gates.
        folder: to write to.
        title: over the figure.
        decays: epochs after which the learning rate fell.

    Returns:
        The files: PNG, SVG, and NPZ with the scores of all layers.

    Raises:
        InputError: no live gates in the record, or fewer than two images.
    """
    if not record.live:
        raise InputError("the record has no live gates, whose stripes could be scored")
    found = scores_over_epochs(record)
    figure, axes = panels(1, 1, width=4.2, height=2.8, title=title)
    cell, epochs = axes[0][0], range(1, record.epochs + 1)
    for number, (name, values) in enumerate(found.items()):
        depth = 0.85 * number / max(1, len(found) - 1)  # the end of the map is too pale for lines
        shown = escape.picture(name) if len(found) <= 8 or number in (0, len(found) - 1) else None
        cell.plot(epochs, values, color=colormaps[COLOURS](depth), marker=".", label=shown)
    cell.set_yscale("symlog", linthresh=_TICKS[1])  # a perfect stripe has its place, too
    cell.yaxis.set_minor_locator(NullLocator())
    low, high = cell.get_ylim()
    cell.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    cell.set_ylim(max(0, low), high)
    cell.grid(axis="y", linewidth=0.4, alpha=0.6)
    cell.set_ylabel("stripe score (0: perfect stripe)")
    _epoch_axis(cell, 1, record.epochs, [at + 0.5 for at in decays], at=decays, colour="black")
    cell.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize="small", title="layer")
    return save(figure, folder, "stripe-scores", found)


def scores_over_epochs(record: AttentionRecord) -> dict[str, Tensor]:
    """The stripe score of each layer's live gates after each epoch, float64 (T,).

    Raises:
        InputError: fewer than two images.
    """
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
    decays: Sequence[float] = (),
    channels: int = 100,
    seed: int = 0,
) -> list[Path]:
    """``scales``: v of ASR over epochs, beside the live network's gates (mean over images).

    The layers are paired by their order; at most four are shown, evenly spread. Both sides show
    the same channels and have one scale of colours; a channel of one network has no counterpart
    in the other.

    Args:
        asr: record of a run with ASR.
        live: record of one with live attention in the same backbone; None for ASR alone.
        folder: to write to.
        title: over the figure.
        decays: epochs after which the learning rate of the ASR run fell.
        channels: how many to show, at most.
        seed: of their choice.

    Returns:
        The files: PNG, SVG, and NPZ with the values of all layers.

    Raises:
        InputError: no ASR in the one, or other gates in the other.
    """
    if not asr.asr:
        raise InputError("the record has no ASR gates, whose v could be drawn")
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
            _epoch_axis(cell, 1, len(values), [decay + 0.5 for decay in decays], at=decays)
        axes[row][0].set_ylabel(f"{said}\nchannel (random order)")
    every = [cell for row in axes for cell in row]
    figure.colorbar(image, ax=every, label="attention value", aspect=30, shrink=0.9)
    kept = {f"asr/{name}": values for name, values in asr.asr.items()}
    if live is not None:
        kept |= {f"live/{name}": values for name, values in means.items()}
    return save(figure, folder, "scales", kept)


def _epoch_axis(
    cell: Axes,
    first: int,
    last: int,
    lines: Sequence[float],
    *,
    at: Sequence[float] | None = None,
    colour: str = "white",
) -> None:
    cell.set_xlabel("epoch")
    step = max(1, math.ceil((last - first) / 8))
    cell.set_xticks(range(first, last + 1, step))
    for line, epoch in zip(lines, lines if at is None else at, strict=True):
        if first <= epoch < last:
            cell.axvline(line, color=colour, linestyle="--", linewidth=1.2)


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
