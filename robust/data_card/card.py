"""The card as data: what was measured of a data set, and whether studies may use it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from asr_core.saving.schema import Name, Number, PlainRecord, Several, Text, record
from robust.stats.power import smallest_visible, visible_with

QDA_CHANCES, LOGISTIC_CHANCES = 1.5, 3.0
"""Most times chance that first-order numbers, and pixels one by one, may say of the class."""
NETWORK = 0.60, 0.92
"""Accuracy of a small network that leaves room below and above."""
EXACT = 0.01
"""Largest share of test images that are training images too."""
SEEDS_SHOWN = 5, 10, 40

Verdict = Literal["admitted", "not admitted", "not decided"]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


@record
@dataclass(frozen=True, kw_only=True)
class Scores(PlainRecord):
    """Accuracy of a simple classifier that learned from the training part, in [0, 1]."""

    validation: Share
    test: Share

    @property
    def best(self) -> float:
        """The higher one: a test part of other photographs must not hide what colours tell."""
        return max(self.validation, self.test)


@record
@dataclass(frozen=True, kw_only=True)
class Trained(PlainRecord):
    """A small network, trained from several seeds.

    Attributes:
        recipe: its name.
        epochs: passes over the training data.
        test: test accuracy of each seed, in [0, 1].
        train: training accuracy in the last epoch, of each seed.
    """

    recipe: Name
    epochs: Annotated[int, Field(ge=1)]
    test: Annotated[Several[Share], Field(min_length=1)]
    train: Annotated[Several[Share], Field(min_length=1)]

    @property
    def mean(self) -> float:
        """Mean test accuracy over the seeds."""
        return statistics.fmean(self.test)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test accuracy between seeds; None for one seed."""
        return statistics.stdev(self.test) if len(self.test) > 1 else None


@record
@dataclass(frozen=True, kw_only=True)
class Duplicates(PlainRecord):
    """Images of one part that are in another too.

    Attributes:
        part: whose images were looked for.
        other: where.
        images: how many were looked for.
        exact: those with the same pixels.
        near: those with nearly the same.
    """

    part: Text
    other: Text
    images: Count
    exact: Count
    near: Count


class Check(NamedTuple):
    """One condition of admission; ``ok`` is None where it was not measured."""

    name: str
    value: float | None
    bounds: tuple[float, float]
    ok: bool | None


@record
@dataclass(frozen=True, kw_only=True)
class Card(PlainRecord):
    """What was measured of a data set.

    Attributes:
        name: of the set.
        classes: number of classes.
        image_size: H = W of the images, in pixels.
        sizes: images in train, validation and test.
        seen: how many of them were looked at.
        chance: accuracy of the best guess without looking: the largest class's share of the test.
        qda: quadratic discriminant on seven first-order numbers.
        logistic: multinomial logistic regression on pixels.
        duplicates: between the parts.
        network: None where no network was trained.
    """

    name: Name
    classes: Annotated[int, Field(ge=1)]
    image_size: Annotated[int, Field(ge=1)]
    sizes: Several[Count]
    seen: Several[Count]
    chance: Share
    qda: Scores
    logistic: Scores
    duplicates: Several[Duplicates]
    network: Trained | None = None

    @property
    def checks(self) -> list[Check]:
        """The conditions of admission."""
        leaked = max((d.exact / d.images for d in self.duplicates if d.part == "test"), default=0.0)
        mean = None if self.network is None else self.network.mean
        return [
            _check("first-order QDA", self.qda.best, (0, QDA_CHANCES * self.chance)),
            _check("logistic on pixels", self.logistic.best, (0, LOGISTIC_CHANCES * self.chance)),
            _check("small network", mean, NETWORK),
            _check("test images in training", leaked, (0, EXACT)),
        ]

    @property
    def verdict(self) -> Verdict:
        """Not decided if all that was measured is right, but no network was trained."""
        found = [check.ok for check in self.checks]
        if False in found:
            return "not admitted"
        return "not decided" if None in found else "admitted"

    @property
    def visible(self) -> list[tuple[int, float]]:
        """Numbers of seeds a variant, and the smallest difference that they show, in [0, 1].

        With 80 % power, by the seeds' deviation alone, without pairs.
        """
        spread = None if self.network is None else self.network.deviation
        if spread is None:
            return []
        both = math.sqrt(2) * spread
        return [(n, visible_with(n, both, paired=False)) for n in SEEDS_SHOWN]

    @property
    def visible_in_images(self) -> float | None:
        """The smallest difference that one pair of networks shows, by the number of test images.

        With 80 % power, if their errors are independent: networks that err on the same images show
        less.
        """
        if self.network is None:
            return None
        p, n = self.network.mean, self.sizes[2]
        return smallest_visible(error=math.sqrt(2 * p * (1 - p) / n), df=math.inf)


def _check(name: str, value: float | None, bounds: tuple[float, float]) -> Check:
    low, high = bounds
    bounds = low, min(high, 1.0)
    if value is None:
        return Check(name, None, bounds, None)
    return Check(name, value, bounds, low <= value <= high and math.isfinite(value))
