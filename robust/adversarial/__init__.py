"""Adversarial attacks on classifiers, L∞ and L2: FGSM and PGD, and stronger ones by an extra.

::

    moved = pgd(model, images, labels, budget=Budget("linf", 8 / 255), indices=range(64), seed=0)
"""

from robust.adversarial.attacks import fgsm, pgd
from robust.adversarial.budget import NORMS, Budget
from robust.adversarial.gradients import GradientWarning
from robust.adversarial.minimum_norm import minimum_norm

__all__ = ["NORMS", "Budget", "GradientWarning", "fgsm", "minimum_norm", "pgd"]
