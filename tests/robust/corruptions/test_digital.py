"""Digital kinds: formulas by hand, Pillow's own bytes, scipy's interpolation."""

import io

import numpy as np
import pytest
import torch
from corrupted import corrupted, pictures, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.transform import AffineTransform, warp

from robust.corruptions import SEVERITIES, TABLES, corrupt
from robust.corruptions.digital import elastic_transform

HALF = 0.5 / 255 + 1e-9


def pil(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_draws_each_channel_to_its_mean(severity, table):
    images = pictures(40, 2)
    kept = TABLES[table]["contrast"][severity - 1]
    expected = np.empty((2, 3, 40, 40))
    for n, image in enumerate(unit(images).numpy()):
        for c, channel in enumerate(image):
            expected[n, c] = channel.mean() * (1 - kept) + kept * channel
    ours = corrupted(images, "contrast", severity, table)
    assert (ours - torch.from_numpy(expected)).abs().max() <= HALF


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows_to_the_bit(severity, table):
    images = pictures(50, 2)
    ours = corrupt(images, "jpeg_compression", severity, indices=[0, 1], seed=0, table=table)
    for image, result in zip(images, ours, strict=True):
        file = io.BytesIO()
        pil(image).save(
            file, format="JPEG", quality=TABLES[table]["jpeg_compression"][severity - 1]
        )
        assert np.array_equal(np.asarray(Image.open(file)), result.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_is_pillows_to_the_bit(severity, table):
    images = pictures(50, 2)
    scale = TABLES[table]["pixelate"][severity - 1]
    ours = corrupt(images, "pixelate", severity, indices=[0, 1], seed=0, table=table)
    for image, result in zip(images, ours, strict=True):
        small = pil(image).resize((int(50 * scale), int(50 * scale)), Image.Resampling.BOX)
        large = small.resize((50, 50), Image.Resampling.BOX)
        assert np.array_equal(np.asarray(large), result.permute(1, 2, 0).numpy())


def test_pixelate_gives_blocks_of_the_published_size():
    result = corrupt(pictures(64, 1), "pixelate", 5, indices=[0], seed=0, table="224")  # scale 1/4
    blocks = result.view(1, 3, 16, 4, 16, 4)
    assert (blocks == blocks[:, :, :, :1, :, :1]).all()
    assert result.unique().numel() > 16


def drawn(side, seed):
    """The numbers in (-1, 1) that the transform draws: of the warp, and of the field."""
    draw = torch.rand(
        6 + 2 * side * side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    draw = 2 * draw - 1
    return draw[:6].view(3, 2).numpy(), draw[6:].view(side, side, 2).numpy()


def elastic(image, figures, seed):
    return elastic_transform(image, figures, [torch.Generator().manual_seed(seed)])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_elastic_warp_is_scikit_images_affine_one(seed):
    side, shift = 36, 0.1
    image = unit(pictures(side, 1))
    middle, reach = side // 2, side // 3
    corners = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = corners + shift * side * drawn(side, seed)[0]
    transform = AffineTransform.from_estimate(corners, moved)
    # "reflect" of scikit-image is about the outermost pixels, as OpenCV's default border
    expected = warp(image[0].permute(1, 2, 0).numpy(), transform.inverse, order=1, mode="reflect")
    ours = elastic(image, (0, 0, shift), seed)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - image[0].permute(1, 2, 0).numpy()).max() > 0.05
    assert np.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("figures", [(0.1, 0.03, 0), (0.08, 0.06, 0), (2.0, 0.1, 0)])
def test_elastic_displacement_is_scipys(figures):
    side, seed = 36, 4
    image = unit(pictures(side, 1))
    size, sigma = side * figures[0], side * figures[1]
    columns, rows = (
        ndimage.gaussian_filter(drawn(side, seed)[1][..., k], sigma, mode="reflect", truncate=3)
        for k in (0, 1)
    )
    places = np.mgrid[:side, :side] + size * np.stack([rows, columns])
    expected = [
        ndimage.map_coordinates(channel, places, order=1, mode="reflect")
        for channel in image[0].numpy()
    ]
    ours = elastic(image, figures, seed)[0].numpy()
    assert np.abs(ours - image[0].numpy()).max() > 0.05
    assert np.allclose(ours, np.stack(expected), atol=1e-9)


def test_elastic_of_a_picture_that_is_not_square_keeps_a_flat_one():
    flat = torch.full((1, 3, 24, 50), 0.25, dtype=torch.float64)
    assert torch.allclose(elastic(flat, TABLES["32"]["elastic_transform"][4], 0), flat)
