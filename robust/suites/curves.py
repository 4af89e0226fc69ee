"""Accuracy over severity as figures, from the JSON alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asr_core.saving.files import atomic_path
from robust.norm_noise import NOISES
from robust.report import escape
from robust.suites.cohort import Cohort
from robust.suites.condition import CLEAN, Condition
from robust.suites.tables import accuracy

# Okabe and Ito (2008), Color Universal Design: distinct to any colour vision; black first.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442")
_MARKERS = "osD^vPX*"
_WIDTH, _HEIGHT = 4.6, 3.4
_COLUMNS = {0: 1, 1: 1, 2: 2, 3: 3, 4: 2}
"""By the number of panels; five for more."""


def draw_curves(groups: Sequence[Cohort]) -> Figure:
    """One panel for each kind and noise of the training: top-1 over severities, a line a variant.

    A kind on adapted statistics has a panel of its own. Clean is at the left. Points are means over
    seeds and draws, bars 95 % intervals over seeds and samples; the line joins clean and the
    severities that have an order (:attr:`robust.suites.condition.Condition.is_ordered`). Clean
    images on other statistics make the panel "clean images". A variant has one colour and marker in
    all panels.
    """
    conditions = groups[0].results[0].cells()
    clean = [condition for condition in conditions if condition.kind == CLEAN.kind]
    by_kind = {CLEAN.kind: clean} if len(clean) > 1 else {}
    for condition in conditions:
        if condition not in clean:
            by_kind.setdefault(condition.situation, []).append(condition)
    labels = list(dict.fromkeys(group.label for group in groups))
    trainings = list(dict.fromkeys(group.trained_under for group in groups))
    panels = [(under, kind) for under in trainings for kind in by_kind]
    columns = _COLUMNS.get(len(panels), 5)
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (under, kind) in zip(axes.flat, panels, strict=False):
        alike = [group for group in groups if group.trained_under == under]
        shown = by_kind[kind]
        start = next((c for c in clean if c.statistics == shown[0].statistics), CLEAN)
        _panel(axis, alike, labels, shown, start)
        name, comma, adapted = kind.partition(", ")
        title = "clean images" if kind == CLEAN.kind else escape.picture(name)
        title += (" noise" if name in NOISES else "") + (f"\n{adapted}" if comma else "")
        if len(trainings) > 1:
            title += f"\ntrained under {escape.picture(under) or 'no noise'}"
        axis.set_title(title, fontsize="medium")
    # Last: the axis is shared, and a limit ends its scaling.
    axes[0, 0].set_ylim(0, min(100, axes[0, 0].get_ylim()[1]))
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("top-1 accuracy [%]")
    handles: dict[str, Artist] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncols=min(len(handles), 6)
    )
    return figure


def save_curves(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` with the suffixes .png and .svg."""
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in written:
        with atomic_path(target) as temporary:
            figure.savefig(temporary, dpi=110)
    return written


def _panel(
    axis: Axes,
    groups: Sequence[Cohort],
    labels: Sequence[str],
    shown: Sequence[Condition],
    start: Condition,
) -> None:
    clean = shown[0].kind == CLEAN.kind
    points = list(shown) if clean else [start, *shown]
    places = range(len(points))
    for group in groups:
        index = labels.index(group.label)
        intervals = [accuracy(group, condition) for condition in points]
        # side by side, so that bars do not overlap
        shift = 0.8 / max(len(labels), 8) * (index - (len(labels) - 1) / 2)
        means = [100 * each.mean for each in intervals]
        bars = [
            [100 * (each.mean - each.low) if each.low is not None else 0.0 for each in intervals],
            [100 * (each.high - each.mean) if each.high is not None else 0.0 for each in intervals],
        ]
        axis.errorbar(
            [place + shift for place in places],
            means,
            yerr=bars,
            label=escape.picture(group.label),
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4.5,
            linewidth=1,
            elinewidth=0.8,
            linestyle="none",
        )
        if not clean:
            attacks = [i for i, c in enumerate(points) if c == start or c.is_ordered]
            axis.plot(
                [i + shift for i in attacks],
                [means[i] for i in attacks],
                color=_COLOURS[index % len(_COLOURS)],
                linewidth=1,
            )
    names = [escape.picture(c.statistics if clean else c.label or "clean") for c in points]
    slanted = max(map(len, names)) > 8
    axis.set_xticks(list(places), names, rotation=25 if slanted else 0, fontsize="small")
    if slanted:
        for tick in axis.get_xticklabels():
            tick.set_horizontalalignment("right")
    axis.set_xlabel("statistics" if clean else "severity")
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
