import math

import numpy as np
import piq
import pytest
import scipy.ndimage
import skimage.data
import skimage.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.metrics import ssim as kornia_ssim
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray
from skimage.measure import blur_effect

from asr_core.errors import InputError
from robust.metrics import (
    METRICS,
    blur,
    laplacian_variance,
    ms_ssim,
    psnr,
    spread,
    ssim,
    total_variation,
)
from robust.metrics.reference import SCALE_WEIGHTS, scales


def photos(size=192):
    """Three photographs, (3, 3, size, size)."""
    crops = []
    for picture in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()):
        crops.append(torch.from_numpy(picture[60 : 60 + size, 100 : 100 + size].copy()))
    return torch.stack(crops).permute(0, 3, 1, 2) / 255.0


def disturbed(images, seed=0):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    strength = torch.tensor([0.02, 0.1, 0.3]).reshape(3, 1, 1, 1)
    return (images + strength * noise).clamp(0, 1)


def hwc(images):
    return images.permute(0, 2, 3, 1).double().numpy()


def test_psnr_is_skimages():
    x, y = photos(), disturbed(photos())
    expected = [
        skimage.metrics.peak_signal_noise_ratio(b, a, data_range=1)
        for a, b in zip(hwc(x), hwc(y), strict=True)
    ]
    assert psnr(x, y).tolist() == pytest.approx(expected, abs=1e-9)
    assert expected[0] > 30 > 15 > expected[2]


def test_psnr_of_a_constant_difference():
    x = torch.full((2, 3, 4, 5), 0.25, dtype=torch.float64)
    assert psnr(x, x + 0.1).tolist() == pytest.approx([20, 20])
    assert psnr(x, x).tolist() == [math.inf, math.inf]
    assert f"{psnr(x, x)[0].item()}" == "inf"  # what a CSV shows


@pytest.mark.parametrize("size", [11, 40, 192])
def test_ssim_is_skimages(size):
    x, y = photos(size), disturbed(photos(size))
    expected = [
        skimage.metrics.structural_similarity(
            a,
            b,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(hwc(x), hwc(y), strict=True)
    ]
    assert ssim(x, y).tolist() == pytest.approx(expected, abs=1e-7)
    assert max(expected) - min(expected) > 0.2


def test_ssim_is_kornias():
    x, y = photos().double(), disturbed(photos()).double()
    expected = kornia_ssim(x, y, 11, eps=0, padding="valid").mean((1, 2, 3))
    assert ssim(x, y).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.parametrize(
    ("small", "expected"),
    [(11, 1), (20, 1), (21, 2), (41, 3), (81, 4), (160, 4), (161, 5), (999, 5)],
)
def test_number_of_scales(small, expected):
    assert scales(small) == expected


@pytest.mark.parametrize("size", [pytest.param(176, marks=pytest.mark.slow), 161, 95, 48, 21])
def test_ms_ssim_is_piqs(size):
    # where a side is odd, piq pads the other end of it: hence the flips
    x, y = photos(size).double(), disturbed(photos(size)).double()
    weights = torch.tensor(SCALE_WEIGHTS[: scales(size)], dtype=torch.float64)
    expected = piq.multi_scale_ssim(
        x.flip(2, 3), y.flip(2, 3), scale_weights=weights, reduction="none"
    )
    assert ms_ssim(x, y).tolist() == pytest.approx(expected.tolist(), abs=1e-9)
    assert expected.max() - expected.min() > 0.05


def test_ms_ssim_of_a_picture_and_its_negative_is_zero_not_nan():
    x = photos()
    assert ms_ssim(x, 1 - x).tolist() == [0, 0, 0]


def test_ms_ssim_of_one_scale_is_ssim_where_that_is_positive():
    x, y = photos(20), disturbed(photos(20))
    assert ms_ssim(x, y).tolist() == pytest.approx(ssim(x, y).tolist(), abs=1e-12)


def test_blur_is_skimages():
    expected = [blur_effect(image, channel_axis=2) for image in hwc(photos())]
    assert blur(photos()).tolist() == pytest.approx(expected, abs=1e-12)


def test_blur_grows_and_edge_energy_falls_when_a_picture_is_blurred():
    sharp = photos()
    soft = torch.from_numpy(gaussian_filter(sharp.numpy(), (0, 0, 2, 2)))
    assert (blur(soft) > blur(sharp) + 0.1).all()
    assert (laplacian_variance(soft) < laplacian_variance(sharp) / 4).all()
    assert (total_variation(soft) < total_variation(sharp)).all()


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_an_image_of_one_colour_is_blurred_and_without_edges(level):
    flat = torch.full((1, 3, 32, 32), level)
    assert blur(flat).tolist() == pytest.approx([1])
    assert laplacian_variance(flat).tolist() == pytest.approx([0], abs=1e-20)
    assert total_variation(flat).tolist() == [0]


def test_laplacian_variance_is_scipys_away_from_the_border():
    expected = [scipy.ndimage.laplace(rgb2gray(image))[1:-1, 1:-1].var() for image in hwc(photos())]
    assert laplacian_variance(photos()).tolist() == pytest.approx(expected, rel=1e-9)
    assert min(expected) > 1e-4


def test_laplacian_variance_of_a_checkerboard():
    board = (torch.arange(8)[:, None] + torch.arange(8)[None]) % 2
    image = board.double().expand(1, 3, 8, 8)
    assert laplacian_variance(image).item() == pytest.approx(16)  # ±4 in equal numbers


def test_total_variation_is_piqs_per_pixel():
    x = photos().double()
    expected = piq.total_variation(x, norm_type="l1", reduction="none") / x[0].numel()
    assert total_variation(x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_total_variation_of_one_edge():
    image = torch.zeros(1, 3, 4, 10)
    image[..., 5:] = 0.5
    assert total_variation(image).item() == pytest.approx(0.5 * 4 / 40)


def test_spread_is_the_mean_std():
    draws = torch.rand(5, 3, 4, 6, dtype=torch.float64)
    expected = np.std(draws.numpy(), axis=0, ddof=1).mean()
    assert spread(draws).item() == pytest.approx(expected, rel=1e-12)
    assert spread(draws[:1].expand(4, -1, -1, -1)).item() == 0


def test_spread_of_two_levels():
    draws = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.5)])
    assert spread(draws).item() == pytest.approx(0.5 / math.sqrt(2))


def test_the_registry_says_how_to_read_each_metric():
    kinds = {name: (METRICS[name].kind, METRICS[name].better) for name in METRICS}
    assert kinds == {
        "psnr": ("reference", "higher"),
        "ssim": ("reference", "higher"),
        "ms_ssim": ("reference", "higher"),
        "blur": ("no-reference", "lower"),
        "laplacian_variance": ("no-reference", "neither"),
        "total_variation": ("no-reference", "neither"),
        "grid_energy": ("no-reference", "lower"),
        "spread": ("draws", "lower"),
    }
    with pytest.raises(InputError, match=r"unknown metric 'lpips'.*psnr, ssim"):
        METRICS["lpips"]


def apply(name, images):
    metric = METRICS[name]
    if metric.kind == "reference":
        return metric.compute(images, images.flip(-1))
    return metric.compute(images)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_gives_float64_without_gradient(name):
    images = photos(32).requires_grad_()
    value = apply(name, images)
    assert value.shape == (() if name == "spread" else (3,))
    assert value.dtype == torch.float64
    assert not value.requires_grad
    assert value.isfinite().all()


@pytest.mark.parametrize("name", [n for n in METRICS if n != "spread"])
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(3)), single=st.booleans())
def test_an_images_value_does_not_depend_on_its_batch(name, order, single):
    images = photos(32)
    straight = apply(name, images)
    if single:
        again = torch.cat([apply(name, images[i : i + 1]) for i in order])
    else:
        again = apply(name, images[list(order)])
    assert again.tolist() == pytest.approx(straight[list(order)].tolist(), rel=1e-12)


@pytest.mark.parametrize("compute", [psnr, ssim, ms_ssim])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(11, 40))
def test_similarities_are_symmetric_and_largest_for_equal_images(compute, seed, size):
    draw = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(2, 3, size, size + 3, generator=draw) for _ in range(2))
    assert compute(x, y).tolist() == pytest.approx(compute(y, x).tolist(), abs=1e-9)
    assert (compute(x, y) < compute(x, x)).all()
    assert compute(x, x).tolist() == pytest.approx([math.inf if compute is psnr else 1] * 2)


@pytest.mark.parametrize("name", list(METRICS))
def test_float_round_trips_pass_and_are_clamped(name):
    images = photos(32).clamp(0.1, 0.9)
    images[:, :, :8], images[:, :, 8:16] = 0, 1
    off = images.clone()
    off[:, :, :8], off[:, :, 8:16] = -3e-8, 1 + 1e-6
    assert torch.equal(apply(name, off), apply(name, images))


BAD = {
    "batch axis": (torch.zeros(3, 32, 32), r"shape \(3, 32, 32\)\. Expected \(N, 3, H, W\)"),
    "channels": (torch.zeros(2, 1, 32, 32), r"shape \(2, 1, 32, 32\)"),
    "empty": (torch.zeros(0, 3, 32, 32), "N at least 1"),
    "dtype": (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "uint8.*floating point"),
    "nan": (torch.full((2, 3, 32, 32), math.nan), "6144 NaN or infinite"),
    "above": (torch.full((2, 3, 32, 32), 255.0), r"range from 255 to 255\. Expected \[0, 1\]"),
    "below": (torch.full((2, 3, 32, 32), -0.01), r"range from -0\.01"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", list(METRICS))
def test_bad_images_are_refused_with_the_values(name, bad):
    images, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        apply(name, images)


@pytest.mark.parametrize("compute", [psnr, ssim, ms_ssim])
def test_pairs_of_different_shape_are_refused(compute):
    with pytest.raises(InputError, match=r"\(3, 3, 32, 32\) and reference of shape \(1, 3, 32, 32"):
        compute(photos(32), photos(32)[:1])


@pytest.mark.parametrize("compute", [psnr, ssim, ms_ssim])
def test_a_bad_reference_is_named(compute):
    reference = torch.zeros(1, 3, 16, 16)
    reference[0, 0, 0, 0] = 2
    with pytest.raises(InputError, match="reference images range from 0 to 2"):
        compute(torch.zeros(1, 3, 16, 16), reference)


@pytest.mark.parametrize(
    ("name", "smallest"), [("ssim", 11), ("ms_ssim", 11), ("blur", 4), ("laplacian_variance", 3)]
)
def test_images_that_are_too_small_are_refused(name, smallest):
    draw = torch.rand(2, 3, smallest, smallest + 1)
    assert apply(name, draw).isfinite().all()
    with pytest.raises(InputError, match=f"must be at least {smallest}"):
        apply(name, draw[:, :, 1:])


def test_one_draw_has_no_spread():
    with pytest.raises(InputError, match="at least 2"):
        spread(torch.zeros(1, 3, 4, 4))
