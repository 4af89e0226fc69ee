"""FGSM and PGD: images changed within a budget so that a classifier errs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from asr_core import limits
from asr_core.draws import Key, check_seed, generator, keys_of
from asr_core.errors import InputError
from asr_core.verify.parity import evaluating
from robust.adversarial.budget import DTYPES, Budget, narrowed, widened
from robust.adversarial.gradients import OnMissing, ascent, tell


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    budget: Budget,
    on_missing: OnMissing | None = None,
) -> Tensor:
    """One step of length ε along the gradient of the cross-entropy, clipped to [0, 1].

    Everything else is as in :func:`pgd`.

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K).
        images: float (N, 3, H, W) in [0, 1].
        labels: the true classes, int64 (N,).
        budget: norm and bound. FGSM proper has L∞, where the step is ε · sign of the gradient.
        on_missing: as in :func:`pgd`.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples"
    (ICLR 2015, arXiv 1412.6572), eq. 2.
    """
    with attacked(model, images, labels) as (clean, labels):
        gradient, missing = ascent(model, clean, labels, images.dtype)
        moved = budget.project(clean + budget.step(gradient, budget.epsilon), clean)
    tell(missing, on_missing)
    return narrowed(moved, images)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    budget: Budget,
    steps: int = 10,
    step_size: float | None = None,
    indices: Tensor | Sequence[Key] | None = None,
    seed: int | None = None,
    on_missing: OnMissing | None = None,
) -> Tensor:
    """Projected gradient ascent on the cross-entropy, from a random start; the last iterate.

    Each image is attacked independently of its batch (unless the model couples them, by a BatchNorm
    without running statistics). The model runs in eval mode; its modes are restored, also after an
    exception. Its parameters get no gradient and keep ``requires_grad``. The attack also works
    under ``no_grad`` and ``inference_mode``. Steps and bounds are computed in float32 or better,
    whatever the model's dtype.

    The gradient does not vanish where the model is confident
    (:func:`robust.adversarial.gradients.in_range`). An image without a finite nonzero gradient
    skips that step and is reported: withstanding the attack then shows nothing.

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K). Normalisation belongs inside the
            model (:class:`asr_core.models.Normalized`): the budget is in units of its input.
        images: float (N, 3, H, W) in [0, 1], in the model's dtype and on its device.
        labels: the true classes, int64 (N,).
        budget: norm and bound.
        steps: number of steps, 1 or more.
        step_size: length of a step; None for 2.5 ε / steps, which reaches any point of the ball
            (Madry et al.): 2/255 for ε = 8/255 and 10 steps.
        indices: one whole number or name per image, which its start follows.
        seed: of the random starts; None starts from the images themselves.
        on_missing: called once with a mask, bool (N,), of the images that had no gradient in some
            step; None warns (:class:`robust.adversarial.GradientWarning`).

    Returns:
        Images (N, 3, H, W) in [0, 1] within the budget, detached, in the dtype of ``images``.

    Raises:
        InputError: images of another form, labels that the model does not know, a model without
            any finite output, no steps, or a seed without an index for each image.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks" (ICLR
    2018, arXiv 1706.06083), sec. 2.1.
    """
    limits.whole("steps", steps, 1, limits.STEPS)
    if step_size is None:
        step_size = 2.5 * budget.epsilon / steps
    if not step_size >= 0:
        raise InputError(f"step size {step_size} is below 0")
    starts = None if seed is None else _starts(seed, indices, len(images))
    with attacked(model, images, labels) as (clean, labels):
        moved = clean if starts is None else budget.random(clean, starts)
        missing = torch.zeros_like(labels, dtype=torch.bool)
        for _ in range(steps):
            gradient, without = ascent(model, moved, labels, images.dtype)
            moved = budget.project(moved + budget.step(gradient, step_size), clean)
            missing |= without
    tell(missing, on_missing)
    return narrowed(moved, images)


@contextlib.contextmanager
def attacked(model: nn.Module, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Put the model in eval mode and autograd on; yields copies of images and labels.

    The images are in float32 or better. Tensors made in inference mode cannot take part in a
    backward pass, hence the copies.
    """
    _check(images, labels)
    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        yield widened(images.detach()).clone(), labels.clone()


def _check(images: Tensor, labels: Tensor) -> None:
    if images.dtype not in DTYPES or images.ndim != 4 or len(images) == 0:
        raise InputError(
            "images must be 16, 32 or 64 bit floating point (N, C, H, W), got "
            f"{images.dtype} {tuple(images.shape)}"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"images must be in [0, 1], got values from {low:g} to {high:g}: normalise inside the "
            "model (asr_core.models.Normalized), not before it"
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or labels.min() < 0:
        raise InputError(
            f"labels must be {len(images)} classes as int64 from 0 up, got {labels.dtype} "
            f"{tuple(labels.shape)}"
        )


def _starts(seed: int, indices: Tensor | Sequence[Key] | None, count: int) -> list[torch.Generator]:
    if indices is None:
        raise InputError("a random start needs indices that name the images; or give no seed")
    return [generator(check_seed(seed), "pgd", key) for key in keys_of(indices, count)]
