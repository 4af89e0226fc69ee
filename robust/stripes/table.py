"""The table of a stripe report, for the terminal and the page; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robust.report.table import Table

HEAD = (
    "layer", "channels", "mean", "deviation", "trimmed", "untrained", "η²", "η², trimmed",
    "permuted", "η², untrained", "stripe score", "settled after",
)  # fmt: skip
_DEVIATIONS = ("", "_trimmed", "_untrained")
_SHARES = ("", "_trimmed", "_permuted", "_untrained")


def layers_table(report: Mapping[str, Any]) -> Table:
    """A row for each layer of what ``stripes.json`` holds; a figure that is not known is "-"."""
    settled = (report["convergence"] or {}).get("layers", {})
    rows = []
    for layer in report["layers"]:
        when = settled.get(layer["name"])
        rows.append(
            (
                layer["name"],
                str(layer["channels"]),
                f"{layer['mean']:.4f}",
                *(_number(layer.get(f"std_between_images{kind}"), 4) for kind in _DEVIATIONS),
                *(_number(layer.get(f"eta2{kind}"), 3) for kind in _SHARES),
                "inf" if layer["stripe"] is None else f"{layer['stripe']:.4g}",
                "-" if when is None else f"epoch {when}",
            )
        )
    return Table(HEAD, rows)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
