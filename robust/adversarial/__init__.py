"""Adversarial attacks on classifiers: FGSM and PGD, L∞ and L2.

::

    moved = pgd(model, images, labels, budget=Budget("linf", 8 / 255), indices=range(64), seed=0)
"""

from robust.adversarial.attacks import fgsm, pgd
from robust.adversarial.budget import NORMS, Budget

__all__ = ["NORMS", "Budget", "fgsm", "pgd"]
