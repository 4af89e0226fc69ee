"""foolbox's attacks that look for the smallest change, stronger than PGD."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from asr_core import limits
from robust.adversarial.attacks import attacked
from robust.adversarial.budget import Budget, narrowed
from robust.adversarial.gradients import OnMissing, ascent, in_range, tell


def minimum_norm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    budget: Budget,
    steps: int = 50,
    on_missing: OnMissing | None = None,
) -> Tensor:
    """The smallest change that makes the model err, where it is within the budget.

    L∞ uses FMN, L2 uses DDN (foolbox's FMN for L2 stays far from the boundary of a linear model).
    Larger changes are projected onto the budget; images that the model then still classifies
    correctly are returned unchanged. Everything else is as in :func:`robust.adversarial.pgd`.

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K).
        images: float (N, 3, H, W) in [0, 1], on the model's device.
        labels: the true classes, int64 (N,).
        budget: norm and bound.
        steps: number of gradients, 1 or more.
        on_missing: as in :func:`robust.adversarial.pgd`.

    Raises:
        InputError: as :func:`robust.adversarial.pgd`.

    Source: Pintor et al., "Fast minimum-norm adversarial attacks through adaptive norm constraints"
    (NeurIPS 2021, arXiv 2102.12827); Rony et al., "Decoupling direction and norm for efficient
    gradient-based L2 adversarial attacks" (CVPR 2019, arXiv 1811.09600).
    """
    limits.whole("steps", steps, 1, limits.STEPS)
    import foolbox  # takes seconds, and no other attack needs it

    with attacked(model, images, labels) as (clean, labels), _frozen(model):
        _, missing = ascent(model, clean, labels, images.dtype)
        if budget.epsilon == 0 or missing.all():
            tell(missing, on_missing)
            return images.detach().clone()
        watched = _Watched(model, labels, images.dtype, missing, flat=budget.norm == "l2")
        attack: foolbox.Attack
        if budget.norm == "linf":
            attack = foolbox.attacks.LInfFMNAttack(steps=steps)
        else:
            # It starts at the bound, since only the side of it matters.
            attack = foolbox.attacks.DDNAttack(init_epsilon=budget.epsilon, steps=steps)
        target = foolbox.PyTorchModel(watched.eval(), bounds=(0, 1), device=images.device)
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(0)  # DDN moves images without a gradient at random
            nearest, _, _ = attack(target, clean, labels, epsilons=None)
        whole = nearest.isfinite().flatten(1).all(1)[:, None, None, None]
        moved = narrowed(budget.project(torch.where(whole, nearest, clean), clean), images)
        errs = model(moved).argmax(1) != labels
        result = torch.where(errs[:, None, None, None], moved, narrowed(clean, images)).detach()
    tell(watched.missing, on_missing)
    return result


class _Watched(nn.Module):
    """The model for foolbox: takes float32, and records the images without a gradient.

    Args:
        model: images (N, 3, H, W) to logits (N, K).
        labels: those of the images; foolbox runs all of them in each forward.
        dtype: that of the model.
        missing: bool (N,), the images without a gradient so far; a copy is extended.
        flat: whether the attack follows the cross-entropy, which is flat where the model is sure.
    """

    def __init__(
        self, model: nn.Module, labels: Tensor, dtype: torch.dtype, missing: Tensor, *, flat: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.labels = labels
        self.dtype = dtype
        self.missing = missing.clone()
        self.flat = flat

    def forward(self, images: Tensor) -> Tensor:
        """The logits (N, K)."""
        if images.requires_grad:
            images.register_hook(self._watch)
        logits: Tensor = self.model(images.to(self.dtype)).to(images.dtype)
        # Both attacks normalise gradients, so their scale cancels, but squares could overflow.
        size = logits.detach().abs().amax(1, keepdim=True)
        usual = ((size > 1e-4) & (size < 1e4)) | (size == 0)
        logits = torch.where(usual, logits, logits / size)
        return in_range(logits, self.labels) if self.flat else logits

    def _watch(self, gradient: Tensor) -> Tensor:
        greatest = gradient.abs().flatten(1).amax(1)
        without = ~(greatest.isfinite() & (greatest > 0))
        self.missing |= without
        return gradient.masked_fill(without[:, None, None, None], 0)


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Freeze the parameters: foolbox calls backward, which would fill their gradients."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
