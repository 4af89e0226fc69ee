"""How much of a regular grid lies over images, as upsampling in a network leaves it."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.metrics.checks import checked, luminance

PERIODS = (2, 4)
"""Pixels: the Nyquist and the half-Nyquist frequency, where ×2 and ×4 upsampling repeats."""
_FAR, _NEAR = 8, 2
"""Neighbours are the frequencies from ``_NEAR`` to ``_FAR`` steps away."""


def grid_energy(images: Tensor) -> Tensor:
    """Spectral energy at periods of 2 and 4 pixels, relative to that of neighbouring frequencies.

    The luminance's power spectrum along rows, averaged over the rows, and along columns, averaged
    over the columns; the mean of the four ratios. A Hann window keeps borders from leaking.

    Args:
        images: (N, 3, H, W) in [0, 1], at least 32 pixels high and wide; up to three rows and
            columns at the end are left out, so that both periods fit a whole number of times.

    Returns:
        (N,), float64, from 0: about 1 without a grid, 10 and more with a visible one. An image of
        one colour has no spectrum and gives 1.

    Raises:
        InputError: as in :func:`robust.metrics.checks.checked`.
    """
    grey = luminance(checked(images, smallest=32))
    height, width = (side // 4 * 4 for side in grey.shape[1:])
    grey = grey[:, :height, :width]
    ratios = [
        _peak(_spectrum(lines), period)
        for lines in (grey, grey.transpose(1, 2))
        for period in PERIODS
    ]
    return torch.stack(ratios).mean(0)


def _spectrum(lines: Tensor) -> Tensor:
    """(N, lines, L) -> (N, L // 2 + 1): the lines' mean power, without each line's own level."""
    window = torch.hann_window(lines.shape[-1], dtype=lines.dtype)
    level = (lines * window).sum(-1, keepdim=True) / window.sum()
    power: Tensor = torch.fft.rfft((lines - level) * window).abs().square().mean(1)
    return power


def _peak(power: Tensor, period: int) -> Tensor:
    """(N, F) -> (N,): the power at ``period`` over its neighbours' mean, 1 where there is none."""
    last = power.shape[1] - 1
    place = 2 * last // period
    steps = [step for step in range(-_FAR, _FAR + 1) if abs(step) >= _NEAR]
    around = [place + step for step in steps if 0 < place + step <= last]
    floor = torch.finfo(power.dtype).tiny + 1e-12 * power.sum(1)
    return (power[:, place] + floor) / (power[:, around].mean(1) + floor)
