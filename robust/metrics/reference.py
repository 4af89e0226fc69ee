"""How close images are to reference images: PSNR, SSIM, MS-SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from robust.metrics.checks import checked_pair

WINDOW = 11
SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log₁₀(1 / MSE); higher is closer.

    Args:
        images: (N, 3, H, W) in [0, 1].
        reference: of the same shape.

    Returns:
        (N,), float64. Identical images give infinity (a CSV shows ``inf``), uncapped.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked_pair`.
    """
    x, y = checked_pair(images, reference)
    return -10 * (x - y).square().mean((1, 2, 3)).log10()


def ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity, per channel with an 11×11 Gaussian window (σ = 1.5); 1 is equal.

    Statistics are population ones, and the mean is over the windows that lie inside the image.

    Args:
        images: (N, 3, H, W) in [0, 1], at least 11 pixels high and wide.
        reference: of the same shape.

    Returns:
        (N,), float64, from -1 to 1.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked_pair`.

    Source: Wang et al. 2004, Image quality assessment: from error visibility to structural
    similarity.
    """
    x, y = checked_pair(images, reference, smallest=WINDOW)
    return _similarity(x, y)[0].mean(1)


def ms_ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Multi-scale structural similarity; higher is closer, 1 is equal.

    Five scales need 161 pixels. Smaller images use as many scales as hold one window, with the
    first weights of the five scaled to sum to 1; values from different numbers of scales are not
    comparable (one scale is SSIM). Negative terms count as 0.

    Args:
        images: (N, 3, H, W) in [0, 1], at least 11 pixels high and wide.
        reference: of the same shape.

    Returns:
        (N,), float64, from 0 to 1.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked_pair`.

    Source: Wang et al. 2003, Multi-scale structural similarity for image quality assessment.
    """
    return ssim_and_ms_ssim(images, reference)[1]


def ssim_and_ms_ssim(images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`ssim` and :func:`ms_ssim` at little more than the cost of one: they share a scale."""
    x, y = checked_pair(images, reference, smallest=WINDOW)
    weights = torch.tensor(SCALE_WEIGHTS[: scales(min(x.shape[2:]))], dtype=x.dtype)
    weights = weights / weights.sum()
    similarity, structure = _similarity(x, y)
    single = similarity.mean(1)
    terms = []
    for _ in weights[1:]:
        terms.append(structure)
        x, y = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (x, y))
        similarity, structure = _similarity(x, y)
    terms.append(similarity)
    powers = torch.stack(terms).clamp(min=0) ** weights[:, None, None]  # (scales, N, C)
    return single, powers.prod(0).mean(1)


def scales(size: int) -> int:
    """How many scales of MS-SSIM images have whose smaller side is ``size`` pixels, 1 to 5."""
    count = 1
    while count < len(SCALE_WEIGHTS) and size > (WINDOW - 1) * 2**count:
        count += 1
    return count


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor, each the mean over windows, (N, C)."""
    steps = torch.arange(WINDOW, dtype=x.dtype) - WINDOW // 2
    gauss = (-steps.square() / (2 * SIGMA**2)).exp()
    window = (gauss / gauss.sum()).tolist()

    def local_mean(image: Tensor) -> Tensor:
        # Eleven shifted sums: in float64 a CPU does them several times faster than a convolution.
        for axis in (2, 3):
            size = image.shape[axis] - WINDOW + 1
            total = image.narrow(axis, 0, size) * window[0]
            for shift, weight in enumerate(window[1:], start=1):
                total.add_(image.narrow(axis, shift, size), alpha=weight)
            image = total
        return image

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))
