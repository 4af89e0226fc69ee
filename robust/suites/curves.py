"""Accuracy over severity as figures, from the JSON alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    labels = list(dict.fromkeys(group.label for group in groups))
    panels = panels_of(groups)
    columns = _COLUMNS.get(len(panels), 5)
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw(axis, panel, labels)
        axis.set_title("\n".join(map(escape.picture, panel.titles)), fontsize="medium")
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


@dataclass(frozen=True)
class CurvePanel:
    """One kind of condition, for the networks of one training.

    Attributes:
        titles: lines above it.
        groups: whose accuracies it shows.
        points: conditions from left to right; the clean one first, unless all are clean.
        names: of the points, on the axis.
        joined: places of the points that lines join.
    """

    titles: tuple[str, ...]
    groups: tuple[Cohort, ...]
    points: tuple[Condition, ...]
    names: tuple[str, ...]
    joined: tuple[int, ...]

    @property
    def is_clean(self) -> bool:
        """Whether it shows statistics on clean images."""
        return self.points[-1].kind == CLEAN.kind


def panels_of(groups: Sequence[Cohort]) -> list[CurvePanel]:
    """A panel for each kind and noise of the training; clean images on other statistics first."""
    conditions = groups[0].results[0].cells()
    clean = [condition for condition in conditions if condition.kind == CLEAN.kind]
    by_kind = {CLEAN.kind: clean} if len(clean) > 1 else {}
    for condition in conditions:
        if condition not in clean:
            by_kind.setdefault(condition.situation, []).append(condition)
    trainings = list(dict.fromkeys(group.trained_under for group in groups))
    panels = []
    for under in trainings:
        for kind, shown in by_kind.items():
            start = next((c for c in clean if c.statistics == shown[0].statistics), CLEAN)
            is_clean = kind == CLEAN.kind
            points = shown if is_clean else [start, *shown]
            name, _, adapted = kind.partition(", ")
            noise = " noise" if name in NOISES else ""
            titles = ["clean images" if is_clean else name + noise, adapted]
            if len(trainings) > 1:
                titles.append(f"trained under {under or 'no noise'}")
            ordered = [i for i, c in enumerate(points) if c == start or c.is_ordered]
            panels.append(
                CurvePanel(
                    tuple(filter(None, titles)),
                    tuple(group for group in groups if group.trained_under == under),
                    tuple(points),
                    tuple(c.statistics if is_clean else c.label or "clean" for c in points),
                    () if is_clean else tuple(ordered),
                )
            )
    return panels


def save_curves(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` with the suffixes .png and .svg."""
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for target in written:
        with atomic_path(target) as temporary:
            figure.savefig(temporary, dpi=110)
    return written


def _draw(axis: Axes, panel: CurvePanel, labels: Sequence[str]) -> None:
    points, places = panel.points, range(len(panel.points))
    for group in panel.groups:
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
        if panel.joined:
            axis.plot(
                [i + shift for i in panel.joined],
                [means[i] for i in panel.joined],
                color=_COLOURS[index % len(_COLOURS)],
                linewidth=1,
            )
    names = list(map(escape.picture, panel.names))
    slanted = max(map(len, names)) > 8
    axis.set_xticks(list(places), names, rotation=25 if slanted else 0, fontsize="small")
    if slanted:
        for tick in axis.get_xticklabels():
            tick.set_horizontalalignment("right")
    axis.set_xlabel("statistics" if panel.is_clean else "severity")
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
