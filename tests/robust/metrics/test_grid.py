"""Grid energy against the theory of periodograms, and on what upsampling does."""

from __future__ import annotations

import math

import pytest
import torch

from asr_core.errors import InputError
from robust.metrics import METRICS, grid_energy
from styletransfer.images.embedded import HELD_OUT, held_out

SIDE, LEVEL = 256, 0.05


def noise(count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    grey = torch.randn(count, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return (0.5 + LEVEL * grey).clamp(0, 1).expand(-1, 3, -1, -1)


def test_white_noise_has_no_grid() -> None:
    assert grid_energy(noise()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("period", "share"), [(4, 0.25), (2, 1.0)])
@pytest.mark.parametrize("across", [True, False])
def test_a_wave_on_noise_gives_what_theory_says(period: int, share: float, across: bool) -> None:
    """A cosine of amplitude a adds (a·Σw)² at Nyquist, a quarter of it below; noise has σ²·Σw²."""
    amplitude = 0.02
    wave = amplitude * torch.cos(2 * math.pi / period * torch.arange(SIDE, dtype=torch.float64))
    images = noise() + (wave if across else wave[:, None])
    window = torch.hann_window(SIDE, dtype=torch.float64)
    peak = amplitude**2 * share * window.sum() ** 2 / (LEVEL**2 * window.square().sum())
    expected = float((1 + peak + 3) / 4)
    assert expected > 2, "the case is not vacuous"
    assert grid_energy(images).mean().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("period", [2, 4])
def test_a_faint_pattern_over_photographs_is_seen(period: int) -> None:
    """As upsampling leaves it: every n-th pixel a little lighter."""
    photographs = torch.stack([held_out(name) for name in HELD_OUT])
    pattern = torch.ones(SIDE, SIDE)
    pattern[::period, ::period] += 0.1
    plain, with_grid = grid_energy(photographs), grid_energy(photographs / 1.1 * pattern)
    assert (plain < 1.3).all()
    assert (with_grid > 2 * plain).all()


def test_an_image_of_one_colour_gives_1() -> None:
    assert grid_energy(torch.full((1, 3, 64, 64), 0.3)).item() == 1


def test_sides_that_are_no_multiples_of_four() -> None:
    images = noise(2)
    assert torch.equal(grid_energy(images[..., :255, :254]), grid_energy(images[..., :252, :252]))


def test_small_images_are_refused() -> None:
    with pytest.raises(InputError, match="32"):
        grid_energy(torch.zeros(1, 3, 31, 32))


def test_it_is_among_the_metrics() -> None:
    assert METRICS["grid_energy"].compute is grid_energy
