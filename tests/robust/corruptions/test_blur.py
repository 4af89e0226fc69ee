"""Blur kinds against scipy, scikit-image and loops."""

import math

import numpy as np
import pytest
import torch
from corrupted import corrupted, pictures, plain, unit
from scipy import ndimage
from skimage.filters import gaussian

from robust.corruptions import SEVERITIES, TABLES
from robust.corruptions.blur import enlarged, glass_blur
from robust.corruptions.sparse_filters import disk, filtered, streak

HALF = 0.5 / 255 + 1e-9  # rounding to a grey level


def dense(taps):
    """Taps as a kernel with an odd side, for a correlation."""
    reach = max(max(abs(row), abs(column)) for row, column, _ in taps)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row, column, weight in taps:
        kernel[reach + row, reach + column] += weight
    return kernel


@pytest.mark.parametrize(("border", "mode"), [("reflect", "mirror"), ("replicate", "nearest")])
def test_filtered_is_scipys_correlation(border, mode):
    images = unit(pictures(24, 2))
    taps = [(0, 0, 0.5), (-2, 3, 0.25), (1, -4, 0.35), (5, 0, -0.1)]
    expected = ndimage.correlate(images.numpy(), dense(taps)[None, None], mode=mode)
    assert torch.allclose(filtered(images, taps, border=border), torch.from_numpy(expected))


@pytest.mark.parametrize("radius", [3, 4, 6, 8, 10])
def test_a_hard_disk_counts_the_pixels_within_its_radius(radius):
    kernel = dense(disk(radius, 1e-3))
    inside = [
        (y, x)
        for y in range(-radius, radius + 1)
        for x in range(-radius, radius + 1)
        if x * x + y * y <= radius * radius
    ]
    assert np.isclose(kernel[kernel > 1e-12], 1 / len(inside)).all()
    assert (kernel > 1e-12).sum() == len(inside)


@pytest.mark.parametrize(
    ("radius", "softening", "total"),
    [(1.5, 0.1, 1), (0.3, 0.4, 1), (4, 0.5, 1), (6, 0.5, 1), (8, 0.5, 1.013), (10, 0.5, 1.011)],
)
def test_a_disk_is_softened_within_its_kernel(radius, softening, total):
    reach, window = (8, 3) if radius <= 8 else (10, 5)
    across = np.arange(-reach, reach + 1) ** 2
    hard = (across[:, None] + across <= radius**2).astype(float)
    # scipy's "mirror" is OpenCV's default border, where the published kernel is made
    soft = ndimage.gaussian_filter(hard / hard.sum(), softening, mode="mirror", radius=window // 2)
    kernel = dense([*disk(radius, softening), (reach, reach, 0.0)])
    assert np.allclose(kernel, soft)
    assert kernel.sum() == pytest.approx(total, abs=5e-4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_is_the_correlation_with_its_disk(severity):
    images = pictures(32, 2)
    kernel = dense(disk(*TABLES["32"]["defocus_blur"][severity - 1]))
    expected = ndimage.correlate(unit(images).numpy(), kernel[None, None], mode="mirror")
    ours = corrupted(images, "defocus_blur", severity, "32")
    assert (ours - torch.from_numpy(expected)).abs().max() <= HALF


def test_a_streak_is_half_a_gaussian_along_its_line():
    taps = streak(3, 2.0, 90)
    weights = [math.exp(-(k**2) / 8) for k in range(7)]
    assert [tap[:2] for tap in taps] == [(k, 0) for k in range(7)]
    assert [tap[2] for tap in taps] == pytest.approx([w / sum(weights) for w in weights])
    slanted = [tap[:2] for tap in streak(3, 2.0, -45)]
    assert slanted[:4] == [(0, 0), (-1, 1), (-1, 1), (-2, 2)]


def test_motion_blur_smears_to_one_side_in_a_direction_of_its_own():
    image = plain(0, count=8, side=65)
    image[:, :, 32, 48] = 255
    smeared = corrupted(image, "motion_blur", 5, "32")
    assert (smeared[..., 49:] == 0).all()  # the light comes from the right of each pixel
    assert (smeared[..., :48] > 0).flatten(1).any(1).all()
    tips = {tuple(s[0].nonzero()[:, 0].unique().tolist()) for s in smeared}
    assert len(tips) > 4
    rows = torch.arange(65)[:, None] * (smeared[:, 0] > 0)
    assert rows.max() <= 32 + 18
    assert smeared.sum((1, 2, 3)) == pytest.approx(3.0, abs=0.1)  # light is kept


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.05, 1.1, 1.26, 1.3, 2.5])
@pytest.mark.parametrize("side", [32, 41])
def test_enlarged_is_scipys_zoom_of_the_middle(factor, side):
    image = unit(pictures(side, 1))
    inner = math.ceil(side / factor)
    top = (side - inner) // 2
    cut = image[0, :, top : top + inner, top : top + inner].numpy()
    big = ndimage.zoom(cut, (1, factor, factor), order=1)
    trim = (big.shape[1] - side) // 2
    expected = torch.from_numpy(big[:, trim : trim + side, trim : trim + side])
    assert torch.allclose(enlarged(image, factor)[0], expected)


def test_zoom_blur_is_the_mean_of_the_published_zooms():
    images = pictures(32, 1)
    zooms = np.arange(1, 1.16, 0.01)
    total = unit(images) + sum(enlarged(unit(images), zoom) for zoom in zooms)
    ours = corrupted(images, "zoom_blur", 3, "32")
    assert (ours - total / (len(zooms) + 1)).abs().max() <= HALF


@pytest.mark.parametrize(
    ("table", "published"),
    [
        ("32", [np.arange(1, stop, 0.01) for stop in (1.06, 1.11, 1.16, 1.21, 1.26)]),
        (
            "224",
            [
                np.arange(1, 1.11, 0.01),
                np.arange(1, 1.16, 0.01),
                np.arange(1, 1.21, 0.02),
                np.arange(1, 1.26, 0.02),
                np.arange(1, 1.31, 0.03),
            ],
        ),
    ],
)
def test_the_zooms_of_each_severity(table, published):
    for (step, count), factors in zip(TABLES[table]["zoom_blur"], published, strict=True):
        assert np.allclose([1 + k * step for k in range(count)], factors)


def scattered(image, reach, rounds, moves):
    """Pixel by pixel on a (H, W, C) array, in the published order."""
    height, width = image.shape[:2]
    moves = iter(moves)
    for _ in range(rounds):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                down, right = next(moves)
                image[row, column] = image[row + down, column + right]
    return image


@pytest.mark.parametrize(("sigma", "reach", "rounds"), [(0.7, 1, 2), (1.1, 3, 1), (1.5, 4, 2)])
def test_glass_blur_scatters_between_two_blurs(sigma, reach, rounds):
    image = unit(pictures(20, 1))
    ours = glass_blur(image, (sigma, reach, rounds), [torch.Generator().manual_seed(5)])
    side = 20 - 2 * reach
    draw = torch.rand(
        rounds, side, side, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    moves = ((2 * reach * draw).floor().long() - reach).reshape(-1, 2).tolist()
    assert {m for pair in moves for m in pair} == set(range(-reach, reach))
    array = image[0].permute(1, 2, 0).numpy()
    soft = np.round(gaussian(array, sigma, channel_axis=-1) * 255) / 255
    expected = gaussian(scattered(soft, reach, rounds, moves), sigma, channel_axis=-1)
    assert np.allclose(ours[0].permute(1, 2, 0).numpy(), expected)
