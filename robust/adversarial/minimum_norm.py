"""Attacks stronger than PGD, which look for the smallest change, through foolbox (an extra)."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from asr_core import limits
from asr_core.errors import InputError
from robust.adversarial.attacks import attacked
from robust.adversarial.budget import Budget


def minimum_norm(
    model: nn.Module, images: Tensor, labels: Tensor, *, budget: Budget, steps: int = 50
) -> Tensor:
    """The smallest change by which the model errs, where one within the budget is found.

    L∞ by FMN, L2 by DDN (foolbox's FMN for L2 stays far from the boundary of a linear model). Draws
    have no part, but where the gradient is 0. A change beyond the budget is cut back to it; images
    that the model then has right come back as they were. The model is treated as by
    :func:`robust.adversarial.pgd`.

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K).
        images: float (N, 3, H, W) in [0, 1], on the model's device.
        labels: the true classes, int64 (N,).
        budget: norm and bound.
        steps: number of gradients, 1 or more.

    Raises:
        InputError: foolbox is not installed; and as :func:`robust.adversarial.pgd`.

    Source: Pintor et al., "Fast minimum-norm adversarial attacks through adaptive norm constraints"
    (NeurIPS 2021, arXiv 2102.12827); Rony et al., "Decoupling direction and norm for efficient
    gradient-based L2 adversarial attacks" (CVPR 2019, arXiv 1811.09600).
    """
    check_foolbox()
    limits.whole("steps", steps, 1, limits.STEPS)
    foolbox = importlib.import_module("foolbox")
    with attacked(model, images, labels) as (clean, labels), _frozen(model):
        classes = model(clean[:1]).shape[1]
        if labels.max() >= classes:
            raise InputError(
                f"label {labels.max().item()} is none of the model's {classes} classes"
            )
        if budget.epsilon == 0:
            return clean
        if budget.norm == "linf":
            attack = foolbox.attacks.LInfFMNAttack(steps=steps)
        else:
            # From the bound on: what matters is on which side of it the smallest change is.
            attack = foolbox.attacks.DDNAttack(init_epsilon=budget.epsilon, steps=steps)
        target = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(0)  # DDN moves images without a gradient at random
            nearest, _, _ = attack(target, clean, labels, epsilons=None)
        moved = budget.project(nearest, clean)
        errs = model(moved).argmax(1) != labels
    return torch.where(errs[:, None, None, None], moved, clean).detach()


def check_foolbox() -> None:
    """Refuse what needs the extra ``adversarial`` where it is not installed.

    Raises:
        InputError: naming the extra.
    """
    if importlib.util.find_spec("foolbox") is None:
        raise InputError("this attack needs foolbox: pip install 'robust-asr[adversarial]'")


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No parameter takes part in autograd: foolbox calls backward, which would fill gradients."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
