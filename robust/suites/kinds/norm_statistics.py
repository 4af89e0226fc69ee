"""The suite "norm-statistics": clean images on each kind of batch-norm statistics.

A network trained under noise collected its running statistics under it, and can fail on clean
images for that reason alone. What it learned shows on the batch's statistics or on re-estimated
ones. Those come from training images with the augmentation of training, so that a clean-trained
network gets its running statistics back. Batch statistics are those of test images: a network fails
on them if its augmentation puts into training images what test images lack, such as black borders.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from robust.norm_noise import REESTIMATED, Statistics
from robust.norm_noise.adaptation import BATCH
from robust.suites.adapted import Adapted
from robust.suites.condition import Condition
from robust.suites.suite import SUITES, Suite, SuiteOptions


class _Clean(Suite):
    name = "norm-statistics"

    def __init__(self, options: SuiteOptions, size: int) -> None:
        self._settings = {"seed": options.seed, "repeats": options.repeats, "batch": size}

    def conditions(self) -> list[Condition]:
        return []

    def settings(self) -> dict[str, Any]:
        return self._settings


@SUITES.register("norm-statistics")
class NormStatistics(Adapted):
    """Clean images on running, batch and re-estimated statistics: the test of the train phase.

    A split of fewer than ``BATCH`` images is one batch. Of the options it takes data, seed and
    repeats, each of which deals the batches anew.
    """

    name = "norm-statistics"

    def __init__(self, options: SuiteOptions) -> None:
        size = min(BATCH, options.images)
        both = (Statistics("batch", size=size), Statistics(REESTIMATED))
        super().__init__(_Clean(options, size), replace(options, statistics=both))

    def notes(self, groups: Any) -> list[str]:
        """None: every row names its statistics."""
        return []
