"""Figures without pyplot's state, as PNG and SVG with their arrays beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from asr_core.saving.files import atomic_path
from asr_core.stripes.record import save_arrays
from robust.report import escape

COLOURS = "viridis"
styled = matplotlib.rc_context({"font.size": 8, "axes.titlesize": 8, "svg.hashsalt": "robust"})
"""Decorator: sets our font sizes, and makes the SVG the same each time."""


def panels(
    rows: int, columns: int, *, width: float = 2.3, height: float = 2.2, title: str = ""
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of ``rows`` × ``columns`` axes, each ``width`` × ``height`` inches."""
    figure = Figure(figsize=(columns * width + 1.0, rows * height + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    if title:
        figure.suptitle(escape.picture(title), fontsize=9)
    return figure, [list(row) for row in axes]


def heat(axes: Axes, values: Tensor, low: float, high: float, **options: Any) -> Any:
    """``values`` (rows, columns) as colours from ``low`` to ``high``."""
    return axes.imshow(
        values.numpy(),
        cmap=COLOURS,
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
        **options,
    )


def save(figure: Figure, folder: Path, name: str, arrays: Mapping[str, Tensor]) -> list[Path]:
    """Write NAME.png, NAME.svg and NAME.npz into ``folder``, each atomically."""
    written = []
    FigureCanvasAgg(figure)
    for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
        with atomic_path(folder / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, dpi=110, metadata=metadata)
        written.append(folder / f"{name}{suffix}")
        figure.set_layout_engine("none")  # keep the layout: computing it takes most of the time
    save_arrays(folder / f"{name}.npz", arrays)
    return [*written, folder / f"{name}.npz"]
