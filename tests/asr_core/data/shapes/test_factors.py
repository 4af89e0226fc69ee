"""asr_core.data.shapes.factors: chance that is the same everywhere, and poses in the picture."""

import math

import numpy as np
import pytest
from scipy.stats import kstest

from asr_core.data.shapes.factors import FACTORS, SHEAR, STRETCH, TURN, Chance, Cut, Paint, Pose
from asr_core.data.shapes.figures import CLASSES, segments


def test_chance_is_uniform_and_its_columns_differ() -> None:
    chance = Chance(5, 4000)
    columns = [chance.uniform(0, 1) for _ in range(FACTORS)]
    for column in columns:
        assert kstest(column, "uniform").pvalue > 1e-4
    off_diagonal = np.corrcoef(columns) - np.eye(FACTORS)
    assert np.abs(off_diagonal).max() < 0.08
    with pytest.raises(StopIteration):
        chance.uniform(0, 1)


def test_chance_is_what_it_was() -> None:
    """PCG64's raw output, by its published reference: seeds must not drift between versions."""
    raw = np.random.Generator(np.random.PCG64(9)).integers(0, 2**64, 3, dtype=np.uint64)
    first = Chance(9, 1)
    assert [first.uniform(0, 1)[0] for _ in raw] == [(int(x) >> 11) / 2**53 for x in raw]


def test_turns_are_rotations() -> None:
    """Figures are upright up to the turn and the shear, and mirrored in half of the pictures."""
    pose = Pose.drawn(Chance(1, 2000))
    determinants = np.linalg.det(pose.matrix)
    assert {-1.0, 1.0} == set(np.sign(determinants))
    most = 2 * math.atan(TURN)
    down = pose.matrix[:, :, 1]  # where the frame's y axis goes
    lean = np.abs(np.arctan2(down[:, 0], down[:, 1]))
    assert most < lean.max() < most + math.atan(SHEAR / (1 - STRETCH))


@pytest.mark.parametrize("size", [32, 96])
def test_figures_that_fit_are_whole(size: int) -> None:
    pose = Pose.drawn(Chance(2, 500))
    outside = []
    for name in CLASSES:
        x, y = pose.placed(segments(name), size)
        edge = size * pose.radius[:, None, None]
        inside = (x >= edge - 1e-9) & (x <= size - edge + 1e-9)
        inside &= (y >= edge - 1e-9) & (y <= size - edge + 1e-9)
        outside.append(1 - inside.all((1, 2)).mean())
    assert max(outside) < 0.4, "of the widest figure, some are cut at an end"
    assert np.mean(outside) < 0.05


def test_places_reach_every_edge() -> None:
    x, y = Pose.drawn(Chance(4, 2000)).placed(segments("ring"), 32)
    for axis in (x, y):
        assert axis.min() < 2.5
        assert axis.max() > 29.5


def test_rows_are_taken_from_every_field() -> None:
    chance = Chance(6, 10)
    cut, paint = Cut.drawn(chance, 7, 2), Paint.drawn(chance)
    rows = np.array([3, 8])
    assert np.array_equal(cut[rows].across, cut.across[rows])
    assert np.array_equal(paint[rows].colours[1], paint.colours[1][rows])
    assert paint[rows].colours[0].shape == (2, 3)


def test_figure_and_ground_are_alike_but_for_chance() -> None:
    """Either is the brighter in half of the pictures, by as much."""
    figure, ground = Paint.drawn(Chance(8, 4000)).colours
    brighter = (figure.mean(1) > ground.mean(1)).mean()
    assert 0.46 < brighter < 0.54
    assert abs(figure.mean() - ground.mean()) < 2
    assert (np.abs(figure - ground).max(1) > 10).mean() > 0.99, "hardly ever the same colour"
