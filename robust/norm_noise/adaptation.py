"""The names of statistics that BatchNorm can use, for options and tables; read without torch."""

from __future__ import annotations

from dataclasses import dataclass

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.norm_noise.severity import LARGEST_BATCH, number

RUNNING = "running"
REESTIMATED = "re-estimated"
KINDS = (RUNNING, "batch", "blend", REESTIMATED)
FORM = "running, batch, batch:N, blend:N, blend:N:n or re-estimated"
BATCH = 64
"""Images that share statistics where no number is given."""
LARGEST_PRIOR = 2**20


def batch_name(size: int) -> str:
    """The name of statistics taken from a batch of ``size`` images, for tables."""
    return f"batch (n = {size})"


@dataclass(frozen=True)
class Statistics:
    """What BatchNorm normalises by.

    Attributes:
        kind: "running"; "batch", the images at hand; "blend", the mean of both
            (:func:`robust.norm_noise.blended_statistics`); or "re-estimated", those of training
            images.
        size: n, images that share statistics; 0 where they come from no batch.
        prior: N, the images that running statistics count as in a blend.

    Raises:
        InputError: an unknown kind, or a number out of its range.
    """

    kind: str = RUNNING
    size: int = 0
    prior: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("statistics", self.kind, list(KINDS))
        if self.of_batch and not 1 <= self.size <= LARGEST_BATCH:
            raise InputError(
                f"{self.size} images cannot share statistics; from 1 to {LARGEST_BATCH} can"
            )
        if not 0 <= self.prior <= LARGEST_PRIOR:
            raise InputError(f"a weight of {self.prior} images is not from 0 to {LARGEST_PRIOR}")

    @property
    def of_batch(self) -> bool:
        """Whether the images at hand decide them."""
        return self.kind in ("batch", "blend")

    @property
    def name(self) -> str:
        """For tables: "running", "batch (n = 4)", "blend (N = 16, n = 4)" or "re-estimated"."""
        if self.kind == "blend":
            return f"blend (N = {self.prior}, n = {self.size})"
        return batch_name(self.size) if self.kind == "batch" else self.kind


def parse_statistics(text: str) -> Statistics:
    """The statistics that ``text`` names.

    Args:
        text: "running"; "batch:N" with N images that share statistics, "batch" with 64; "blend:N"
            with running statistics that count as N images beside 64, "blend:N:n" beside n; or
            "re-estimated".

    Raises:
        InputError: another form, or a number out of its range.
    """
    kind, *numbers = (part.strip() for part in text.split(":"))
    if kind not in KINDS:
        raise unknown_name("statistics", kind, [FORM])
    least, most = {"batch": (0, 1), "blend": (1, 2)}.get(kind, (0, 0))
    if not least <= len(numbers) <= most:
        raise InputError(f"statistics {text!r} have another form. Expected {FORM}")
    given = [int(number(int, part, f"statistics {text!r}", FORM)) for part in numbers]
    if kind == "batch":
        return Statistics(kind, size=given[0] if given else BATCH)
    if kind == "blend":
        return Statistics(kind, prior=given[0], size=given[1] if given[1:] else BATCH)
    return Statistics(kind)
