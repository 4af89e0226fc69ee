"""Accuracy over severity as figures, from the JSON alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asr_core.files import atomic_path
from robust.noise import NOISES
from robust.suites.cohort import Cohort
from robust.suites.condition import CLEAN, Condition
from robust.suites.tables import accuracy

# Okabe and Ito (2008), Color Universal Design: told apart with any colour vision; black first.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442")
_MARKERS = "osD^vPX*"
_WIDTH, _HEIGHT = 4.6, 3.4


def draw_curves(groups: Sequence[Cohort], *, title: str = "") -> Figure:
    """One panel a kind: top-1 over its severities, clean at the left, one line a cohort.

    Points are means over seeds and draws, bars 95 % intervals over seeds and samples. Clean images
    on other statistics make the panel "clean".
    """
    conditions = groups[0].results[0].cells()
    kinds = dict.fromkeys(condition.kind for condition in conditions)
    panels = {kind: [c for c in conditions if c.kind == kind] for kind in kinds}
    if len(panels[CLEAN.kind]) == 1:
        del panels[CLEAN.kind]
    columns = min(len(panels), 3 if len(panels) < 5 else 5)
    rows = math.ceil(len(panels) / max(columns, 1))
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (kind, shown) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, groups, kind, shown)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("top-1 accuracy [%]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
    if title:
        figure.suptitle(title)
    return figure


def save_curves(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` with the suffixes .png and .svg."""
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in written:
        with atomic_path(target) as temporary:
            figure.savefig(temporary, dpi=110)
    return written


def _panel(axis: Axes, groups: Sequence[Cohort], kind: str, shown: list[Condition]) -> None:
    clean = kind == CLEAN.kind
    points = shown if clean else [CLEAN, *shown]
    places = range(len(points))
    for index, group in enumerate(groups):
        found = [accuracy(group, condition) for condition in points]
        # side by side, so that bars can be told apart
        shift = 0.09 * (index - (len(groups) - 1) / 2)
        means = [100 * each.mean for each in found]
        bars = [
            [100 * (each.mean - each.low) if each.low is not None else 0.0 for each in found],
            [100 * (each.high - each.mean) if each.high is not None else 0.0 for each in found],
        ]
        axis.errorbar(
            [place + shift for place in places],
            means,
            yerr=bars,
            label=group.title,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4.5,
            linewidth=1,
            elinewidth=0.8,
            linestyle="none" if clean else "-",
        )
    axis.set_title("clean images" if clean else f"{kind} noise" if kind in NOISES else kind)
    labels = [c.statistics if clean else c.label or "clean" for c in points]
    slanted = max(map(len, labels)) > 8
    axis.set_xticks(list(places), labels, rotation=25 if slanted else 0, fontsize="small")
    if slanted:
        for tick in axis.get_xticklabels():
            tick.set_horizontalalignment("right")
    axis.set_xlabel("statistics" if clean else "severity")
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
