"""asr_core.data.shapes.figures: strokes of one length, each figure told from the others."""

import math

import numpy as np
import pytest

from asr_core.data.shapes.draw import mask
from asr_core.data.shapes.factors import LENGTH, WIDTH, Chance, Pose
from asr_core.data.shapes.figures import CLASSES, segments

SIDE = 32


def masks(name: str, pose: Pose) -> np.ndarray:
    return mask(segments(name), pose, SIDE)


@pytest.mark.parametrize("name", CLASSES)
def test_strokes_are_together_one_long_and_centred(name: str) -> None:
    ends = segments(name)
    assert math.isclose(sum(math.dist(*piece) for piece in ends.tolist()), 1)
    points = ends.reshape(-1, 2)
    assert np.allclose(points.min(0), -points.max(0))


def test_figures_cover_the_same_area() -> None:
    """Strokes of one width and length: crossings and corners take little away."""
    pose = Pose.drawn(Chance(3, 200))
    covered = np.array([masks(name, pose).mean() for name in CLASSES])
    assert covered.max() / covered.min() < 1.25
    least, most = LENGTH[0] * WIDTH[0], LENGTH[1] * WIDTH[1]
    assert 0.7 * least < covered.mean() < 1.3 * most


def test_figures_are_told_apart_in_every_pose() -> None:
    """By the nearest of 150 other poses of each figure, of masks moved to the middle."""
    known, asked = Pose.drawn(Chance(1, 150)), Pose.drawn(Chance(2, 8))
    looked_up = np.stack([centred(masks(name, known)) for name in CLASSES])
    hits = 0
    for label, name in enumerate(CLASSES):
        for picture in centred(masks(name, asked)):
            distances = np.square(looked_up - picture).sum((2, 3))
            hits += int(np.unravel_index(distances.argmin(), distances.shape)[0] == label)
    assert hits / (8 * len(CLASSES)) > 0.85


def centred(pictures: np.ndarray) -> np.ndarray:
    """Each mask moved so that its centre of mass is in the middle."""
    moved = []
    for picture in pictures:
        rows, columns = np.nonzero(picture > 0.5)
        shift = SIDE // 2 - round(rows.mean()), SIDE // 2 - round(columns.mean())
        moved.append(np.roll(picture, shift, (0, 1)))
    return np.stack(moved)
