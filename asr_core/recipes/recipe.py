"""How a classifier is trained, as data."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.schema import Name, Number, PlainRecord, Several, Text, record

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("multistep", "cosine")


@record
@dataclass(frozen=True, kw_only=True)
class Recipe(PlainRecord):
    """All that decides a training run except the attention, the seed and the machine.

    Attributes:
        name: NETWORK-DATA.
        backbone: name in :data:`asr_core.models.BACKBONES`.
        data: name of the data set.
        image_size: sides H = W of the images.
        optimizer: "sgd" (without Nesterov's step) or "adamw".
        lr: learning rate after warm-up and before decay. It is not rescaled with ``batch_size``.
        momentum: of SGD; for AdamW the first β, while the second is torch's 0.999.
        weight_decay: added to the gradient by SGD, decoupled in AdamW.
        schedule: "multistep", times ``gamma`` at each milestone, or "cosine", from ``lr`` to 0.
        milestones: epochs after which the rate falls; may be fractions.
        gamma: factor at each milestone. For a cosine it only records the paper's cell and has no
            effect.
        epochs: passes over the training data.
        batch_size: images per step, over all processes.
        warmup_epochs: epochs, or fractions, in which the rate first rises linearly from 0. A
            cosine takes the remaining ones; milestones do not move.
        label_smoothing: that of the cross-entropy.
        clip: largest gradient norm; None for no limit.
        ema: decay per step of an average of the weights; None for no average.
        source: the column of the paper's table, or that the numbers are ours.
        notes: choices where the paper is silent or odd, with the reason.

    Raises:
        InputError: a number out of its range, or fields that do not go together.
    """

    name: Name
    backbone: Text
    data: Name
    image_size: Annotated[int, Field(ge=1, le=limits.SIDE)]
    optimizer: Text
    lr: Annotated[Number, Field(gt=0)]
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    weight_decay: Annotated[Number, Field(ge=0)]
    schedule: Text
    milestones: Several[Number] = ()
    gamma: Annotated[Number, Field(gt=0, le=1)] | None = None
    epochs: Annotated[int, Field(ge=1, le=limits.EPOCHS)]
    batch_size: Annotated[int, Field(ge=1, le=limits.BATCH)]
    warmup_epochs: Annotated[Number, Field(ge=0)] = 0
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0
    clip: Annotated[Number, Field(gt=0)] | None = None
    ema: Annotated[Number, Field(gt=0, lt=1)] | None = None
    source: Text = ""
    notes: Several[Text] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, list(OPTIMIZERS))
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, list(SCHEDULES))
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"warmup_epochs is {self.warmup_epochs}; it must be less than the {self.epochs} "
                "epochs"
            )
        limits.check_batch(self.batch_size, self.image_size)
        self._check_milestones()

    def _check_milestones(self) -> None:
        if self.schedule == "cosine":
            if self.milestones:
                raise InputError(f"a cosine has no milestones, got {self.milestones}")
            return
        if not self.milestones or self.gamma is None:
            raise InputError("schedule 'multistep' needs milestones and gamma")
        for value in self.milestones:
            if not 0 < value < self.epochs:
                raise InputError(
                    f"milestone {value!r} is not between the start and the last epoch, "
                    f"{self.epochs}: choose other milestones, or more epochs"
                )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise InputError(f"milestones {self.milestones} must grow")

    def learning_rate(self, progress: float) -> float:
        """The learning rate at ``progress``, in epochs: 3.25 is a quarter into the fourth.

        At whole epochs it is that of torch's MultiStepLR or CosineAnnealingLR stepped every epoch;
        between them the cosine and the warm-up go on.

        Raises:
            InputError: ``progress`` is not in [0, ``epochs``].
        """
        if not 0 <= progress <= self.epochs:
            raise InputError(
                f"progress is {progress}; it must lie in [0, {self.epochs}], in epochs"
            )
        rise = min(1.0, progress / self.warmup_epochs) if self.warmup_epochs else 1.0
        return self.lr * rise * self._decay(progress)

    def decay_dose(self, steps: int) -> float:
        """Σ learning rate × weight decay over a run of ``steps`` steps an epoch.

        What decay alone leaves of a weight under SGD is about exp(-dose): runs that differ in
        length are alike in it where the dose is.
        """
        total = sum(self.learning_rate(step / steps) for step in range(self.epochs * steps))
        return total * self.weight_decay

    def _decay(self, progress: float) -> float:
        if self.gamma is not None and self.schedule == "multistep":
            return self.gamma ** bisect.bisect_right(self.milestones, progress)
        warmup = self.warmup_epochs
        share = max(0.0, progress - warmup) / (self.epochs - warmup)
        return 0.5 * (1 + math.cos(math.pi * share))

    def override(self, **values: Any) -> Recipe:
        """The recipe with other values, checked like any recipe.

        A new number of ``epochs`` moves milestones and warm-up in proportion (81 and 122 of 164 are
        40.5 and 61 of 82), unless they are given too. ``schedule="cosine"`` drops the milestones
        and gamma of a multistep recipe.

        Raises:
            InputError: a field that recipes do not have, a value out of its range, or milestones
                or gamma for a cosine.
        """
        for name in values:
            if name not in FIELDS:
                raise unknown_name("recipe field", name, list(FIELDS))
        schedule = values.get("schedule", self.schedule)
        if schedule == "cosine":
            for name in ("milestones", "gamma"):
                if values.get(name) not in (None, (), []):
                    raise InputError(
                        f"a cosine has no {name}, got {values[name]!r}: choose schedule "
                        f"'multistep', or leave {name} out"
                    )
            if self.schedule != "cosine":
                values = {**values, "milestones": (), "gamma": None}
        epochs = values.get("epochs")
        if type(epochs) is int and epochs > 0:
            stretch = Fraction(epochs, self.epochs)
            values.setdefault("milestones", tuple(_times(m, stretch) for m in self.milestones))
            values.setdefault("warmup_epochs", _times(self.warmup_epochs, stretch))
        return replace(self, **values)


FIELDS = tuple(field.name for field in fields(Recipe))
"""The fields of a recipe."""


def _times(value: float, stretch: Fraction) -> float:
    """The product, exact if it is whole, so that no decay shifts by an epoch."""
    product = Fraction(value) * stretch
    return product.numerator if product.denominator == 1 else float(product)
