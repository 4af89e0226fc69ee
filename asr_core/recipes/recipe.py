"""How a classifier is trained, as data."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

from asr_core.errors import InputError
from asr_core.registry import unknown_name

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("multistep", "cosine")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides a training run but the attention, the seed and the machine.

    Attributes:
        name: of the recipe, NETWORK-DATA.
        backbone: name in :data:`asr_core.models.BACKBONES`.
        data: name of the data set.
        image_size: sides H = W of the images.
        optimizer: "sgd" (without Nesterov's step) or "adamw".
        lr: learning rate after warm-up and before decay. It is not rescaled with ``batch_size``.
        momentum: of SGD; the first β of AdamW, whose second is torch's 0.999.
        weight_decay: added to the gradient by SGD, decoupled in AdamW.
        schedule: "multistep", times ``gamma`` at each milestone, or "cosine", from ``lr`` to 0.
        milestones: epochs after which the rate falls; may be fractions.
        gamma: factor at each milestone. A cosine has no factor: there it only records the
            paper's cell and has no effect.
        epochs: passes over the training data.
        batch_size: images a step, over all processes.
        warmup_epochs: epochs, or fractions, in which the rate first rises linearly from 0. A
            cosine then takes the remaining ones; milestones stay where they are.
        label_smoothing: of the cross-entropy.
        clip: largest gradient norm; None for no limit.
        ema: decay a step of an average of the weights; None for no average.
        source: the column of the paper's table, or that the numbers are ours.
        notes: where the paper is silent or odd, what was chosen and why.

    Raises:
        InputError: a number out of its range, or fields that do not go together.
    """

    name: str
    backbone: str
    data: str
    image_size: int
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    schedule: str
    milestones: tuple[float, ...] = ()
    gamma: float | None = None
    epochs: int
    batch_size: int
    warmup_epochs: float = 0
    label_smoothing: float = 0
    clip: float | None = None
    ema: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "backbone", "data", "optimizer", "schedule", "source"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be a string")
        for name in ("milestones", "notes"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple):
                raise InputError(f"{name} is {value!r}; it must be a list")
            object.__setattr__(self, name, tuple(value))  # TOML and JSON have lists
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, list(OPTIMIZERS))
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, list(SCHEDULES))
        for name in ("image_size", "epochs", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number, at least 1")
        above_0, share = (lambda x: x > 0), (lambda x: 0 <= x < 1)
        for name, holds, range_ in (
            ("lr", above_0, "above 0"),
            ("momentum", share, "in [0, 1)"),
            ("weight_decay", lambda x: x >= 0, "0 or more"),
            ("warmup_epochs", lambda x: 0 <= x < self.epochs, f"in [0, {self.epochs}), in epochs"),
            ("label_smoothing", share, "in [0, 1)"),
            ("gamma", lambda x: 0 < x <= 1, "in (0, 1]"),
            ("clip", above_0, "above 0"),
            ("ema", lambda x: 0 < x < 1, "in (0, 1)"),
        ):
            value = getattr(self, name)
            if value is None and name in ("gamma", "clip", "ema"):
                continue
            if not (_is_number(value) and holds(value)):
                raise InputError(f"{name} is {value!r}; it must be a number {range_}")
        self._check_milestones()

    def _check_milestones(self) -> None:
        if self.schedule == "cosine":
            if self.milestones:
                raise InputError(f"a cosine has no milestones, got {_listed(self.milestones)}")
            return
        if not self.milestones or self.gamma is None:
            raise InputError("schedule 'multistep' needs milestones and gamma")
        for value in self.milestones:
            if not (_is_number(value) and 0 < value < self.epochs):
                raise InputError(
                    f"milestone {value!r} is not between the start and the last epoch, "
                    f"{self.epochs}: choose other milestones, or more epochs"
                )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise InputError(f"milestones {_listed(self.milestones)} must grow")

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

    def _decay(self, progress: float) -> float:
        if self.gamma is not None and self.schedule == "multistep":
            return self.gamma ** bisect.bisect_right(self.milestones, progress)
        warmup = self.warmup_epochs
        share = max(0.0, progress - warmup) / (self.epochs - warmup)
        return 0.5 * (1 + math.cos(math.pi * share))

    def override(self, **values: Any) -> Recipe:
        """The recipe with other values, checked like any recipe.

        A new number of ``epochs`` stretches what it was divided into: milestones and warm-up move
        in proportion (81 and 122 of 164 are 40.5 and 61 of 82), unless they are given too. Giving
        a multistep recipe ``schedule="cosine"`` drops its milestones and gamma.

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

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON-able data, which :meth:`from_dict` reads."""
        return {**asdict(self), "milestones": list(self.milestones), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe that :meth:`as_dict` wrote, or of a TOML file.

        Raises:
            InputError: an unknown or missing field, or a value out of its range.
        """
        for name in data:
            if name not in FIELDS:
                raise unknown_name("recipe field", name, list(FIELDS))
        missing = [name for name, required in FIELDS.items() if required and name not in data]
        if missing:
            raise InputError(f"the recipe has no {', '.join(missing)}")
        return cls(**data)


FIELDS = {field.name: field.default is MISSING for field in fields(Recipe)}
"""The fields of a recipe, and whether one has to be given."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _times(value: float, stretch: Fraction) -> float:
    """Exact where the result is whole, so that no decay slips by an epoch."""
    product = Fraction(value) * stretch
    return product.numerator if product.denominator == 1 else float(product)


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))
