"""Noise kinds against the moments of their distributions."""

import numpy as np
import pytest
import torch
from corrupted import corrupted, plain
from skimage.util import random_noise

from robust.corruptions import SEVERITIES, TABLES
from robust.corruptions.noise import shot_noise

COUNT = 6  # 6 × 3 × 64 × 64 = 73,728 values: a standard deviation is known to 0.3 %


def change(kind, severity, table, value):
    images = plain(value, count=COUNT)
    return corrupted(images, kind, severity, table) - value / 255


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_the_standard_deviation(severity):
    # At 32 pixels' σ of at most 0.1, grey 0.5 is never cut off at 0 or 1.
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    noise = change("gaussian_noise", severity, "32", 128)
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=4 * sigma / 73728**0.5 + 1e-4)
    kurtosis = (noise / noise.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=0.1)  # normal; of uniform noise it would be 1.8


@pytest.mark.parametrize("photons", [500, 100, 50, 12, 3])
@pytest.mark.parametrize("value", [0.1, 0.5, 1.0])
def test_shot_noise_has_the_mean_and_variance_of_photons(photons, value):
    light = torch.full((2, 3, 128, 128), value, dtype=torch.float64)
    draws = [torch.Generator().manual_seed(k) for k in (1, 2)]
    seen = shot_noise(light, photons, draws)
    variance = value / photons
    assert seen.var().item() == pytest.approx(variance, rel=0.03)
    assert seen.mean().item() == pytest.approx(value, abs=4 * (variance / seen.numel()) ** 0.5)
    counts = seen * photons
    assert torch.allclose(counts, counts.round())


def test_shot_noise_leaves_black_black():
    assert change("shot_noise", 5, "224", 0).abs().max() == 0


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_turns_its_share_into_salt_and_pepper_evenly(severity, table):
    amount = TABLES[table]["impulse_noise"][severity - 1]
    result = corrupted(plain(100, count=COUNT), "impulse_noise", severity, table)
    assert set(result.unique().tolist()) == {0, 100 / 255, 1}
    width = 4 * (amount / 2 / 73728) ** 0.5
    assert (result == 0).double().mean().item() == pytest.approx(amount / 2, abs=width)
    assert (result == 1).double().mean().item() == pytest.approx(amount / 2, abs=width)


def test_impulse_noise_is_as_scikit_images():
    grey = np.full((64, 64, 3 * COUNT), 100 / 255)
    reference = random_noise(grey, mode="s&p", amount=0.27, rng=0)
    ours = corrupted(plain(100, count=COUNT), "impulse_noise", 5, "224")
    for value in (0, 1):
        share = (reference == value).mean()
        assert (ours == value).double().mean().item() == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_colours_and_places_are_drawn_on_their_own(kind):
    noise = change(kind, 5, "32", 128)
    channels = torch.corrcoef(noise.transpose(0, 1).flatten(1))
    assert channels.fill_diagonal_(0).abs().max() < 0.05
    beside = torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()])
    assert abs(torch.corrcoef(beside)[0, 1]) < 0.03
