"""One way in which a test pass differs from a clean one."""

from __future__ import annotations

from dataclasses import dataclass

from robust.norm_noise import NOISES, RUNNING, BatchNoise, parse_severity

CLEAN_KIND = "clean"


@dataclass(frozen=True)
class Condition:
    """What happens to the images or the model in one pass over a split.

    Attributes:
        kind: "clean", a noise, a corruption or an attack.
        severity: as the kind writes it ("0.8,0.5", 3); "" for kinds without severities.
        repeat: index of the draw, 0, 1, 2, …, for kinds that depend on chance.
        statistics: those of batch norms, by their name
            (:class:`robust.norm_noise.Statistics`).
    """

    kind: str
    severity: str | int | float = ""
    repeat: int = 0
    statistics: str = RUNNING

    @property
    def cell(self) -> tuple[str, str | int | float, str]:
        """The condition without its repeat: kind, severity and statistics."""
        return self.kind, self.severity, self.statistics

    @property
    def situation(self) -> str:
        """The kind, with the statistics that it was adapted to: all severities have one."""
        decided = self.kind == BatchNoise.noise  # its severity decides the statistics
        if self.statistics == RUNNING or decided:
            return self.kind
        return f"{self.kind}, {self.statistics} statistics"

    @property
    def label(self) -> str:
        """The severity as a table shows it, such as "n = 4" or "Na 0.8, Nb 0.5"."""
        text = str(self.severity)
        return parse_severity(self.kind, text).label if self.kind in NOISES else text

    @property
    def is_control(self) -> bool:
        """Whether it is clean, or disturbs nothing by construction."""
        if self.kind in NOISES:
            return parse_severity(self.kind, str(self.severity)).is_control
        return self.kind == CLEAN_KIND

    @property
    def is_ordered(self) -> bool:
        """Whether a line may join it with clean and with others of its kind."""
        if self.kind in NOISES:
            return parse_severity(self.kind, str(self.severity)).is_ordered
        return True


CLEAN = Condition(CLEAN_KIND)
"""The pass that every suite begins with: the model as it is, on running statistics."""
