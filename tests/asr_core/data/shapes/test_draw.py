"""asr_core.data.shapes.draw: equal bytes on every machine, and factors apart from the class."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import chi2_contingency, f_oneway

from asr_core.data.shapes import draw as module
from asr_core.data.shapes.draw import draw, mask
from asr_core.data.shapes.factors import Chance, Pose
from asr_core.data.shapes.figures import CLASSES, segments
from asr_core.data.shapes.textures import TEST, TRAIN, smaller

GOLDEN = {
    32: "987d6a970d4166355beb1875395f5437728bf0cefdfd5b5ea92c3c2ee315fdae",
    96: "2edf3f95a37587bb269c8d6aa4a932aeb08da0e02988c67063b9f5b22b4ace75",
}
"""SHA-256 of the first fifty pictures of seed 0."""


@pytest.mark.parametrize("size", GOLDEN)
def test_the_bytes_are_those_of_every_machine(size: int) -> None:
    images, labels = draw(50, size, seed=0, photographs=TRAIN)
    assert images.shape == (50, 3, size, size)
    assert labels.tolist() == [*range(25), *range(25)]
    assert hashlib.sha256(images.tobytes()).hexdigest() == GOLDEN[size]


@pytest.mark.slow
def test_no_instruction_of_the_processor_changes_a_byte() -> None:
    """numpy without any of those that it chooses between when it is loaded."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]  # type: ignore[index]
    program = (
        "import hashlib; from asr_core.data.shapes.draw import draw; "
        "from asr_core.data.shapes.textures import TRAIN; "
        "images, _ = draw(50, 32, seed=0, photographs=TRAIN); "
        "print(hashlib.sha256(images.tobytes()).hexdigest())"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == GOLDEN[32]


def test_neither_threads_nor_parts_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = draw(60, 32, seed=3, photographs=TEST)
    monkeypatch.setattr(module, "THREADS", 1)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    assert np.array_equal(draw(60, 32, seed=3, photographs=TEST)[0], whole)
    assert not np.array_equal(draw(60, 32, seed=4, photographs=TEST)[0], whole)


def test_sizes_show_the_same_pictures() -> None:
    small, _ = draw(50, 32, seed=5, photographs=TEST)
    large, _ = draw(50, 96, seed=5, photographs=TEST)
    shrunk = np.stack([smaller(image, 3) for image in large]).astype(float)
    differences = np.abs(shrunk - small).mean((1, 2, 3))
    others = np.abs(shrunk - np.roll(small.astype(float), 1, 0)).mean((1, 2, 3))
    assert differences.mean() < 6 < others.mean()


@pytest.mark.parametrize("name", ["corner", "ring", "comb"])
def test_masks_are_the_points_near_the_strokes(name: str) -> None:
    """Against coverage counted on a grid of 16 x 16 points a pixel, in float64."""
    pose, size, fine = Pose.drawn(Chance(7, 4)), 32, 16
    found = mask(segments(name), pose, size)
    x, y = pose.placed(segments(name), size)
    at = (np.arange(size * fine) + 0.5) / fine
    points = np.stack(np.meshgrid(at, at), -1)
    for place in range(4):
        nearest = np.full(points.shape[:2], np.inf)
        for (x0, x1), (y0, y1) in zip(x[place], y[place], strict=True):
            start, step = np.array([x0, y0]), np.array([x1 - x0, y1 - y0])
            along = np.clip((points - start) @ step / (step @ step), 0, 1)
            nearest = np.minimum(
                nearest, np.linalg.norm(points - start - along[..., None] * step, axis=-1)
            )
        inside = nearest <= size * pose.radius[place]
        covered = inside.reshape(size, fine, size, fine).mean((1, 3))
        assert np.abs(found[place] - covered).max() < 0.35, "at ends and corners"
        assert np.abs(found[place] - covered).mean() < 0.01
        assert 0.02 < covered.mean() < 0.5


def test_first_order_numbers_do_not_depend_on_the_class() -> None:
    images, labels = draw(2500, 32, seed=9, photographs=TRAIN)
    values = images.astype(float)
    for number in (values.mean((2, 3)), values.std((2, 3))):
        for channel in number.T:
            by_class = [channel[labels == label] for label in range(len(CLASSES))]
            assert f_oneway(*by_class).pvalue > 1e-4
    bright = values.mean((1, 2, 3)) > np.median(values.mean((1, 2, 3)))
    counts = [np.bincount(bright[labels == label], minlength=2) for label in range(len(CLASSES))]
    assert chi2_contingency(counts).pvalue > 1e-3


def test_photographs_are_apart() -> None:
    assert not set(TRAIN) & set(TEST)
    cars, motorcycles = (
        {"imagenet_06_609", "imagenet_07_609"},
        {"motorcycle_left", "motorcycle_right"},
    )
    for alike in (cars, motorcycles):
        assert len(alike & {*TRAIN, *TEST}) == 1


def test_smaller_pictures_are_rounded_means() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 14, 11), dtype=np.uint8)
    means = picture[:, :12, :9].reshape(3, 4, 3, 3, 3).astype(float).mean((2, 4))
    assert np.array_equal(smaller(picture, 3), np.floor(means + 0.5))
    assert np.array_equal(smaller(picture, 1), picture)
