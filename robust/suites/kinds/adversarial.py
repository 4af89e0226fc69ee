"""The suites "adversarial" (FGSM, PGD) and "adversarial-strong" (FMN, DDN) at standard bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from robust.adversarial import Budget, fgsm, minimum_norm, pgd
from robust.corruptions import table_for
from robust.norm_noise import RUNNING
from robust.suites.cohort import Cohort
from robust.suites.condition import Condition
from robust.suites.suite import SUITES, Answers, Samples, Suite, SuiteOptions

STEPS = 10
"""Of PGD, of 2.5 ε / 10 each: for ε = 8/255 the customary 2/255."""

LOSS = "cross-entropy, its logits kept in range"
"""As :func:`robust.adversarial.gradients.in_range` says."""

SHARES = (Fraction(1, 4), Fraction(1, 2), Fraction(1))
"""Of the standard bound, from mild to strong."""


@dataclass(frozen=True)
class Kind:
    """An attack and its norm.

    Attributes:
        norm: "linf" or "l2".
        standard: the customary bound for images of 32 and of 224 pixels.
        by_chance: whether it starts at random, so that repeats differ.
    """

    norm: str
    standard: dict[str, Fraction]
    by_chance: bool = False


_LINF = {"32": Fraction(8, 255), "224": Fraction(4, 255)}
_L2 = {"32": Fraction(1, 2), "224": Fraction(1, 2)}

ATTACKS = {
    "fgsm-linf": Kind("linf", _LINF),
    "pgd-linf": Kind("linf", _LINF, by_chance=True),
    "pgd-l2": Kind("l2", _L2, by_chance=True),
}

STRONG = {"pgd+fmn-linf": Kind("linf", _LINF), "pgd+ddn-l2": Kind("l2", _L2)}
"""The attacks of the stronger suite."""


class _Attacks(Suite):
    """Attacks with full knowledge of the model, at the bounds customary for the images' size.

    Bounds are for images in [0, 1]: L∞ 8/255 (224 pixels: 4/255), L2 0.5. Of the options it takes
    data, seed and repeats (of PGD's starts). On the statistics of a batch its images are attacked
    together: each one's gradient is that of all their losses.

    Raises:
        InputError: severities are given: the bounds are fixed.
    """

    attacks: ClassVar[dict[str, Kind]]
    shares: ClassVar[tuple[Fraction, ...]]
    second_steps: ClassVar[int] = 0
    """Of a second attack, on what withstands the first."""

    def __init__(self, options: SuiteOptions) -> None:
        if options.severities:
            raise InputError(
                f"severities {', '.join(options.severities)}: the bounds of the adversarial suites "
                "are fixed, for comparison; for others call robust.adversarial.pgd"
            )
        self.table = table_for(options.data.image_size, options.data.image_size)
        self._options = options

    def conditions(self) -> list[Condition]:
        """Attack by attack, each from the mildest bound to the whole."""
        return [
            Condition(name, _text(share * kind.standard[self.table]), repeat)
            for name, kind in self.attacks.items()
            for share in self.shares
            for repeat in range(self._options.repeats if kind.by_chance else 1)
        ]

    def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Answers:
        """The logits for the attacked images, and which images had no gradient."""
        kind = self.attacks[condition.kind]
        budget = Budget(kind.norm, float(Fraction(str(condition.severity))))
        images, indices, labels = samples
        named: Tensor | list[str] = indices
        if kind.by_chance:
            named = [f"{index}/{condition.repeat}" for index in indices.tolist()]
        missing = torch.zeros_like(labels, dtype=torch.bool)
        if condition.kind.startswith("fgsm"):
            moved = fgsm(model, images, labels, budget=budget, on_missing=missing.copy_)
        else:
            moved = pgd(
                model,
                images,
                labels,
                budget=budget,
                steps=STEPS,
                indices=named,
                seed=self._options.seed,
                on_missing=missing.copy_,
            )
        if self.second_steps and (withstood := model(moved).argmax(1) == labels).any():
            second: list[Tensor] = []
            # Images that share statistics stay together.
            tried = withstood if condition.statistics == RUNNING else torch.ones_like(withstood)
            again = minimum_norm(
                model,
                images[tried],
                labels[tried],
                budget=budget,
                steps=self.second_steps,
                on_missing=second.append,
            )
            moved[withstood] = again[withstood[tried]]
            missing[withstood] |= second[0][withstood[tried]]
        return Answers(model(moved), missing)

    def settings(self) -> dict[str, Any]:
        """Seed, data, the loss and PGD's steps."""
        return {
            "seed": self._options.seed,
            "data": self._options.data.name,
            "loss": LOSS,
            "pgd_steps": STEPS,
        }


@SUITES.register("adversarial")
class Adversarial(_Attacks):
    """FGSM and PGD at parts of the bound.

    PGD takes 10 steps from a start drawn for each image. A pass of FGSM costs about four clean
    ones, a pass of PGD about 31.
    """

    name = "adversarial"
    attacks = ATTACKS
    shares = SHARES

    def settings(self) -> dict[str, Any]:
        """Also repeats, PGD's step size and the standard bounds."""
        return {
            **super().settings(),
            "repeats": self._options.repeats,
            "pgd_step_size": f"2.5 epsilon / {STEPS}",
            "standard_epsilon": {
                name: _text(kind.standard[self.table]) for name, kind in ATTACKS.items()
            },
        }

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """The bounds and PGD's steps."""
        settings = self.settings()
        bounds = ", ".join(f"{k} {v}" for k, v in settings["standard_epsilon"].items())
        return [
            f"severity: the bound ε, for images in [0, 1]; standard: {bounds}; PGD takes {STEPS} "
            f"steps of {settings['pgd_step_size'].replace('epsilon', 'ε')}, with full knowledge "
            "of the model"
        ]


@SUITES.register("adversarial-strong")
class AdversarialStrong(_Attacks):
    """The worst of two attacks at the standard bounds: PGD, then another on what withstands it.

    The second is :func:`robust.adversarial.minimum_norm`, FMN for L∞ and DDN for L2. A pass costs
    31 clean ones, and 300 for the share of images that withstand PGD.
    """

    name = "adversarial-strong"
    attacks = STRONG
    shares = (Fraction(1),)
    second_steps = 100

    def settings(self) -> dict[str, Any]:
        """Also the steps of the second attack."""
        return {**super().settings(), "second_steps": self.second_steps}

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """What severity means."""
        return [
            f"severity: the bound ε, for images in [0, 1]; an image counts as right if PGD "
            f"({STEPS} steps) fails, and then FMN or DDN ({self.second_steps} steps, by foolbox) "
            "fails too; with full knowledge of the model"
        ]


def _text(bound: Fraction) -> str:
    """In grey levels of 255 where it is a whole number of them, "8/255", else as a decimal."""
    levels = bound * 255
    return f"{levels}/255" if levels.denominator == 1 else f"{float(bound):g}"
