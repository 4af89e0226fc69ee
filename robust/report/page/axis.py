"""Axes of the page's plots: round ticks, and places in percent, so that text is never scaled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A linear axis from ``low`` to ``high``, with ticks at round numbers."""

    low: float
    high: float
    ticks: tuple[float, ...]
    decimals: int

    def at(self, value: float) -> str:
        """The place of ``value`` in percent of the axis; what lies outside is at its end."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}"

    def down(self, value: float) -> str:
        """The place of ``value`` in percent from the top."""
        return f"{100 - float(self.at(value)):.2f}"

    def label(self, tick: float) -> str:
        """A tick as text."""
        return f"{tick + 0.0:.{self.decimals}f}"


def axis(values: Iterable[float], *, most: int = 5) -> Axis:
    """The axis that holds ``values``, with at most ``most`` ticks."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    margin = 0.04 * (high - low)
    low, high = low - margin, high + margin
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    ticks = tuple(step * k for k in range(first, math.floor(high / step) + 1))
    decimals = max(0, -math.floor(math.log10(step)) + (step / power == 2.5))
    return Axis(low, high, ticks, decimals)
