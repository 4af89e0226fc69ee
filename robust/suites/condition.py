"""One way in which a test pass differs from a clean one."""

from __future__ import annotations

from dataclasses import dataclass

from robust.noise.statistics import RUNNING

CLEAN_KIND = "clean"


@dataclass(frozen=True)
class Condition:
    """What the images, or the model, of one pass over a split undergo.

    Attributes:
        kind: what is done: "clean", a noise, a corruption, an attack.
        severity: how much of it, as the kind writes it ("0.8,0.5", 3); "" where there is no more
            and no less.
        repeat: index of the draw, 0, 1, 2, …, where chance has a part.
        statistics: what batch norms normalise by, for tables (:mod:`robust.noise.statistics`).
    """

    kind: str
    severity: str | int | float = ""
    repeat: int = 0
    statistics: str = RUNNING

    @property
    def cell(self) -> tuple[str, str | int | float, str]:
        """The condition without its repeat: kind, severity and statistics."""
        return self.kind, self.severity, self.statistics


CLEAN = Condition(CLEAN_KIND)
"""The pass that every suite begins with: the model as it is, on running statistics."""
