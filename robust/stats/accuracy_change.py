"""Is one classifier more accurate than another on the same images?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from asr_core.errors import InputError


@dataclass(frozen=True)
class AccuracyChange:
    """The accuracies of two classifiers on the same n images, and their difference.

    Attributes:
        before: share of images that the first has right, in [0, 1].
        after: share that the second has right.
        n: number of images.
        gained: images that only the second has right.
        lost: images that only the first has right.
        low: lower end of the 95 % interval of ``after - before``.
        high: upper end.
    """

    before: float
    after: float
    n: int
    gained: int
    lost: int
    low: float
    high: float

    @property
    def change(self) -> float:
        """``after - before``."""
        return self.after - self.before

    @property
    def answer(self) -> str:
        """ "loses accuracy", "gains accuracy", or "no difference seen"."""
        if self.high < 0:
            return "loses accuracy"
        return "gains accuracy" if self.low > 0 else "no difference seen"

    @property
    def sentence(self) -> str:
        """The figures in words, in percentage points."""
        interval = f"{100 * self.low:+.2f} to {100 * self.high:+.2f}"
        said = (
            f"{self.answer}: top-1 {self.before:.2%} before, {self.after:.2%} after, change "
            f"{100 * self.change:+.2f} points (95 % interval over images {interval}; {self.lost} "
            f"of {self.n} images lost, {self.gained} gained)"
        )
        if self.answer == "no difference seen" and self.low < 0:
            said += f"; a loss of up to {-100 * self.low:.2f} points is not excluded"
        return said


def accuracy_change(before: ArrayLike, after: ArrayLike, *, level: float = 0.95) -> AccuracyChange:
    """Compare two classifiers image by image.

    The interval is that of Agresti and Min (2005), Simple improved confidence intervals for
    comparing matched proportions (Statistics in Medicine 24, 729): half an image is added to each
    cell of the 2 × 2 table of right and wrong, then Wald's interval for paired proportions is
    taken. Unlike Wald's own it has a width where no image changes sides.

    It is about other images of the same kind. What another training run would give is not in it.

    Args:
        before: whether the first classifier has each image right, bool (n,).
        after: the same of the second.
        level: the coverage, between 0 and 1.

    Raises:
        InputError: other shapes, values that are not true or false, no images, or a level out of
            range.
    """
    a, b = np.asarray(before), np.asarray(after)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise InputError(
            f"got answers of shapes {a.shape} and {b.shape}; expected (n,) of the same images"
        )
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise InputError(f"answers are right or wrong, bool, got {a.dtype} and {b.dtype}")
    if not 0 < level < 1:
        raise InputError(f"level {level:g} is out of range. Expected between 0 and 1, as 0.95")
    gained, lost, n = int((b & ~a).sum()), int((a & ~b).sum()), a.size
    total = n + 2
    middle = (gained - lost) / total
    half = float(ndtri((1 + level) / 2)) * math.sqrt(
        ((gained + lost + 1) / total - middle**2) / total
    )
    low, high = max(middle - half, -1.0), min(middle + half, 1.0)
    return AccuracyChange(float(a.mean()), float(b.mean()), n, gained, lost, low, high)
