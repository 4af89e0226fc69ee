"""The gradient that an attack follows, and the images for which the model gives none.

The cross-entropy is flat where the model is confident: with logits a hundred times as large its
gradient is exactly 0, and an attack that follows it does not move. Withstanding such an attack
shows nothing (Carlini and Wagner, "Towards evaluating the robustness of neural
networks", S&P 2017, arXiv 1608.04644, sec. VIII; Croce and Hein, "Reliable evaluation of
adversarial robustness", ICML 2020, arXiv 2003.01690, sec. 4). Hence :func:`in_range`. A
gradient that vanishes inside the model (saturated outputs, rounding, dead ReLUs) cannot be restored
here; such images are counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.training.evaluate import check_labels

MARGIN = 10.0
"""Logit margin above which 1 - p, below 4.5e-5, loses its digits in float32."""
FAINT = 0.01
"""Logits of a trained network spread further, unless they are divided by a temperature."""

_LARGEST = 2.0**120
_RESCUE = 2.0**14
"""A power of two, so that no digit changes, and below what float16 can hold."""

OnMissing = Callable[[Tensor], object]


class GradientWarning(UserWarning):
    """An attack had no gradient to follow: withstanding it does not show robustness."""


def in_range(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits whose cross-entropy has a usable gradient of the same direction.

    With m = z_y - log Σ_{j≠y} exp z_j the cross-entropy is log(1 + exp(-m)), and its gradient is
    that of -m times 1 - p_y. Subtracting a constant from m therefore changes only the length of the
    gradient, and FGSM and PGD use only its direction. Margins m above :data:`MARGIN` are reduced to
    it. Logits with a spread below :data:`FAINT`, whose gradient treats all other classes alike, are
    scaled to a spread of :data:`MARGIN`. All other images keep their logits bit for bit.

    Args:
        logits: (N, K), float32 or float64.
        labels: the true classes, int64 (N,).

    Returns:
        (N, K), with gradient, the same class the greatest.
    """
    own = labels[:, None]
    with torch.no_grad():
        spread = logits.amax(1, keepdim=True) - logits.amin(1, keepdim=True)
        # Of two classes there is one other: its direction is the same at any scale.
        faint = (spread > 0) & (spread < (FAINT if logits.shape[1] > 2 else 0))
        factor = torch.where(faint, (MARGIN / spread).clamp(max=_LARGEST), 1)
    logits = logits * factor
    gaps = logits - logits.gather(1, own)
    with torch.no_grad():
        rest = gaps.scatter(1, own, -torch.inf).logsumexp(1, keepdim=True)
        lift = -rest - MARGIN
        sure = lift.isfinite() & (lift > 0)
        lift = torch.where(sure, lift, 0).expand_as(gaps).scatter(1, own, 0)
    return torch.where(sure, gaps + lift, logits)


def ascent(
    model: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The direction in which each image's cross-entropy grows, and which images have none.

    Args:
        model: images (N, 3, H, W) to logits (N, K).
        images: (N, 3, H, W), float32 or float64.
        labels: int64 (N,).
        dtype: what the model takes.

    Returns:
        The gradient up to a positive factor per image, (N, 3, H, W) in ``images``' dtype; and a
        mask, bool (N,), of the images whose gradient is 0 or not finite, and is given as 0.

    Raises:
        InputError: a label that the model does not know, or no finite output.
    """
    gradient = _gradient(model, images, labels, dtype, images.new_ones(len(images)))
    greatest = _greatest(gradient)
    # Too small for the dtype's full precision, or beyond its range: try another scale.
    small, large = greatest < torch.finfo(dtype).tiny, ~greatest.isfinite()
    if bool((small | large).any()):
        scale = torch.where(small, _RESCUE, torch.where(large, 1 / _RESCUE, 1.0)).to(images.dtype)
        other = _gradient(model, images, labels, dtype, scale)
        better = _greatest(other).isfinite() & (_greatest(other) > 0) & (small | large)
        gradient = torch.where(_wide(better), other, gradient)
        greatest = _greatest(gradient)
    missing = ~(greatest.isfinite() & (greatest > 0))
    return gradient.masked_fill(_wide(missing), 0), missing


def _gradient(
    model: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype, scale: Tensor
) -> Tensor:
    images = images.detach().requires_grad_()
    logits = model(images.to(dtype))
    check_labels(labels, logits)
    if not bool(logits.detach().isfinite().any()):
        raise InputError(
            "the model has no finite output and so no finite gradient: check its weights"
        )
    sharp = in_range(logits.float(), labels)
    losses = nn.functional.cross_entropy(sharp, labels, reduction="none")
    if not losses.requires_grad:  # the model detaches, or rounds to whole numbers
        return torch.zeros_like(images)
    # Each image's gradient is its own: a sum, not a mean.
    (gradient,) = torch.autograd.grad(losses, images, scale.to(losses.dtype), allow_unused=True)
    return torch.zeros_like(images) if gradient is None else gradient.detach()


def tell(missing: Tensor, on_missing: OnMissing | None) -> None:
    """Report the images without a gradient to ``on_missing``, or as a warning."""
    count = int(missing.sum())
    if on_missing is not None:
        on_missing(missing)
    elif count:
        warnings.warn(
            f"the model gave no gradient (0, or not finite) for {count} of {len(missing)} images. "
            "They skipped the attack, or some of its steps: withstanding it shows nothing. Does "
            "the model round, detach or saturate? An attack without gradients can tell",
            GradientWarning,
            stacklevel=3,
        )


def _greatest(gradient: Tensor) -> Tensor:
    """The greatest magnitude in each image, (N,); NaN if any value is."""
    return gradient.abs().flatten(1).amax(1)


def _wide(mask: Tensor) -> Tensor:
    return mask[:, None, None, None]
