"""Metrics without a reference: blur, edge energy, variation, and spread over draws."""

from __future__ import annotations

import torch
from skimage.measure import blur_effect
from torch import Tensor

from asr_core.errors import InputError
from robust.metrics.checks import checked, luminance


def blur(images: Tensor) -> Tensor:
    """Perceptual blur: how little an image loses when it is blurred again; 0 sharp, 1 blurred.

    Args:
        images: (N, 3, H, W) in [0, 1], at least 4 pixels high and wide.

    Returns:
        (N,), float64. An image of one colour has no edges and gives 1.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked`.

    Source: Crete et al. 2007, The blur effect (``skimage.measure.blur_effect``, filter of 11).
    """
    greys = luminance(checked(images, smallest=4)).numpy()
    return torch.tensor([float(blur_effect(grey)) for grey in greys], dtype=torch.float64)


def laplacian_variance(images: Tensor) -> Tensor:
    """Variance over the pixels of the luminance's 4-neighbour Laplacian: the energy of fine edges.

    Args:
        images: (N, 3, H, W) in [0, 1], at least 3 pixels high and wide; the border is left out.

    Returns:
        (N,), float64, from 0.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked`.

    Source: Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy.
    """
    grey = luminance(checked(images, smallest=3))
    middle = grey[:, 1:-1, 1:-1]
    sides = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (sides - 4 * middle).var((1, 2), correction=0)


def total_variation(images: Tensor) -> Tensor:
    """Sum of the absolute differences between neighbours, down and across, per pixel and channel.

    Args:
        images: (N, 3, H, W) in [0, 1].

    Returns:
        (N,), float64, from 0 to 2.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked`.

    Source: Rudin et al. 1992, Nonlinear total variation based noise removal algorithms
    (anisotropic form).
    """
    x = checked(images)
    down, across = x.diff(dim=2).abs().sum((1, 2, 3)), x.diff(dim=3).abs().sum((1, 2, 3))
    return (down + across) / x[0].numel()


def spread(draws: Tensor) -> Tensor:
    """How much one image's output varies over draws: the mean over the pixels of their std.

    Args:
        draws: (R, 3, H, W) in [0, 1], the outputs of R draws, at least 2.

    Returns:
        (), float64, in units of the pixel range; the std is the sample one (R - 1).

    Raises:
        InputError: fewer than two draws, or as in :func:`robust.metrics.checks.checked`.
    """
    x = checked(draws, name="draws")
    if len(x) < 2:
        raise InputError("1 draw has no spread: give at least 2")
    return x.std(0).mean()
