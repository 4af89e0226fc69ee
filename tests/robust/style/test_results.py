"""robust.style.results: what is written can be read back, and is what is summarised."""

import csv
import io
import math

import numpy as np
import pytest

from robust.style.results import CLEAN, COLUMNS, Results, Row, Treatment


def row(seed: int, image: str, value: float, *, draw: int | str = "", noise: str = CLEAN) -> Row:
    severity = "" if noise == CLEAN else "4"
    return Row(
        "style", "bn", noise, severity, seed, image, "blur", value, "mosaic", "running", draw
    )


def test_the_csv_is_tidy_and_holds_every_row_in_order() -> None:
    file = io.StringIO()
    results = Results(file)
    results.add([row(0, "a", 0.25), row(1, "a", math.inf)])
    results.add([row(0, "b, with comma", 0.123456789)])
    read = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(read[0]) == COLUMNS
    assert COLUMNS[:8] == (
        "task", "norm", "noise", "severity", "seed", "image", "metric", "value",
    )  # fmt: skip
    assert [line["image"] for line in read] == ["a", "a", "b, with comma"]
    assert [float(line["value"]) for line in read] == [0.25, math.inf, 0.123457]


def test_values_are_means_over_draws_by_seed_and_image() -> None:
    results = Results(io.StringIO())
    for draw, value in enumerate((1.0, 2.0, 6.0)):
        results.add([row(5, "a", value, draw=draw, noise="batch")])
    results.add([row(3, "a", 10.0, noise="batch"), row(3, "b", 20.0, noise="batch")])
    cell = Treatment("bn", "batch", "4", "running")
    values = results.values(cell, "blur")
    assert values is not None
    np.testing.assert_array_equal(values, [[10.0, 20.0], [3.0, math.nan]])  # seeds 3 and 5


def test_cells_keep_the_order_of_their_first_row_and_unknown_ones_have_no_values() -> None:
    results = Results(io.StringIO())
    results.add([row(0, "a", 1.0), row(0, "a", 1.0, noise="batch"), row(1, "a", 1.0)])
    assert [cell.noise for cell in results.cells()] == [CLEAN, "batch"]
    assert results.images == ["a"]
    assert results.values(Treatment("in", CLEAN, "", "running"), "blur") is None
    assert results.values(results.cells()[0], "psnr_to_in") is None


@pytest.mark.parametrize("value", [1 / 3, 1e-7, 123456.7, -0.0])
def test_values_are_written_with_six_digits(value: float) -> None:
    file = io.StringIO()
    Results(file).add([row(0, "a", value)])
    written = float(file.getvalue().splitlines()[1].split(",")[7])
    assert written == pytest.approx(value, rel=1e-5)
