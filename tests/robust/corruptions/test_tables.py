"""The published strengths, read a second time in the units in which the generators write them."""

import numpy as np
import pytest

from robust.corruptions import SEVERITIES, TABLES
from robust.corruptions.score import ALEXNET
from robust.corruptions.tables import strength

# ImageNet-C, images of 224 pixels
LARGE = {
    "gaussian_noise": [0.08, 0.12, 0.18, 0.26, 0.38],
    "shot_noise": [60, 25, 12, 5, 3],
    "impulse_noise": [0.03, 0.06, 0.09, 0.17, 0.27],
    "defocus_blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    "glass_blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    "motion_blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
    "snow": [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ],
    "frost": [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
    "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
    "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
    "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
    "jpeg_compression": [25, 18, 15, 10, 7],
}
LARGE_ZOOMS = [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)]
LARGE_ELASTIC = [
    (244 * 2, 244 * 0.7, 244 * 0.1),
    (244 * 2, 244 * 0.08, 244 * 0.2),
    (244 * 0.05, 244 * 0.01, 244 * 0.02),
    (244 * 0.07, 244 * 0.01, 244 * 0.02),
    (244 * 0.12, 244 * 0.01, 244 * 0.02),
]

# CIFAR-10-C, images of 32 pixels
SMALL = {
    "gaussian_noise": [0.04, 0.06, 0.08, 0.09, 0.10],
    "shot_noise": [500, 250, 100, 75, 50],
    "impulse_noise": [0.01, 0.02, 0.03, 0.05, 0.07],
    "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
    "glass_blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
    "motion_blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
    "snow": [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ],
    "frost": [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
    "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
    "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
    "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
    "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
    "jpeg_compression": [80, 65, 58, 50, 40],
}
SMALL_ZOOMS = [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)]
SMALL_ELASTIC = [
    (32 * 0, 32 * 0, 32 * 0.08),
    (32 * 0.05, 32 * 0.2, 32 * 0.07),
    (32 * 0.08, 32 * 0.06, 32 * 0.06),
    (32 * 0.1, 32 * 0.04, 32 * 0.05),
    (32 * 0.1, 32 * 0.03, 32 * 0.03),
]
SIDES = {"224": (LARGE, LARGE_ZOOMS, LARGE_ELASTIC), "32": (SMALL, SMALL_ZOOMS, SMALL_ELASTIC)}


@pytest.mark.parametrize("table", TABLES)
def test_every_figure_is_the_published_one(table):
    plain, zooms, elastic = SIDES[table]
    assert {*plain, "zoom_blur", "elastic_transform"} == set(TABLES[table])
    for severity in SEVERITIES:
        for kind, row in plain.items():
            found = strength(kind, severity, table)
            if kind == "frost":  # the third is the scale of the photographs of frost
                *found, scale = found
                assert scale == {"224": 1, "32": 0.2}[table]
            assert found == row[severity - 1] or tuple(found) == row[severity - 1], kind
        stop, step = zooms[severity - 1]
        factors = np.arange(1, stop, step)
        mine, count = strength("zoom_blur", severity, table)
        assert [1 + k * mine for k in range(count)] == pytest.approx(list(factors))
        pixels = [part * int(table) for part in strength("elastic_transform", severity, table)]
        assert pixels == pytest.approx(elastic[severity - 1])


def test_alexnets_errors_are_whole_numbers_of_images():
    """Of the 50,000 of the validation set at five severities: most slips of a digit are no such."""
    for kind, error in ALEXNET.items():
        images = error * 250_000
        assert images == pytest.approx(round(images), abs=1e-6), kind
