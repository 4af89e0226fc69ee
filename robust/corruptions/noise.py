"""Gaussian, shot and impulse noise."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.corruptions.kinds import Draws, normal, uniform


def gaussian_noise(images: Tensor, sigma: float, draws: Draws) -> Tensor:
    """Normal noise of standard deviation ``sigma``, drawn for each value: x + σ · N(0, 1)."""
    return images + sigma * normal(images.shape[1:], draws)


def shot_noise(images: Tensor, photons: float, draws: Draws) -> Tensor:
    """Poisson noise of mean x and variance x / ``photons``: that many photons make a value of 1."""
    counts = [torch.poisson(x * photons, generator=d) for x, d in zip(images, draws, strict=True)]
    return torch.stack(counts) / photons


def impulse_noise(images: Tensor, amount: float, draws: Draws) -> Tensor:
    """Salt and pepper: a share ``amount`` of the values becomes 0 or 1, each half of the time."""
    draw = uniform(images.shape[1:], draws)
    return images.masked_fill(draw < amount / 2, 0).masked_fill(draw >= 1 - amount / 2, 1)
