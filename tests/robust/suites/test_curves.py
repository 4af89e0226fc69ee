"""robust.suites.curves: the points are the results', in colours that anyone can tell apart."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from suite_results import FOG, made_up

from robust.norm_noise import batch_name
from robust.suites import CLEAN, Condition
from robust.suites.cohort import cohorts
from robust.suites.curves import _COLOURS, draw_curves, save_curves

NOISES = (Condition("random", "0.1"), Condition("random", "uniform"), Condition("fog", 3))
GROUPS = cohorts(
    [made_up(v, s, share, conditions=NOISES) for v, share in (("plain", 0.9), ("SE", 0.7))
     for s in (0, 1)]
)  # fmt: skip


def panels(figure: Figure) -> dict[str, list[str]]:
    return {
        axis.get_title(): [label.get_text() for label in axis.get_xticklabels()]
        for axis in figure.axes
        if axis.get_title()
    }


def test_a_panel_a_kind_with_clean_at_the_left() -> None:
    assert panels(draw_curves(GROUPS)) == {
        "random noise": ["clean", "s = 0.1", "U(0, 1)"],
        "fog": ["clean", "3"],
    }


def test_points_are_the_mean_accuracies() -> None:
    axis = draw_curves(GROUPS).axes[0]
    for container, group in zip(axis.containers, GROUPS, strict=True):
        heights = container[0].get_ydata()  # type: ignore[union-attr]
        expected = [100 * group.right([c]).mean() for c in (CLEAN, *NOISES[:2])]
        assert np.allclose(heights, expected)
    assert axis.get_ylim()[0] == 0


def test_lines_join_clean_and_attacks_and_leave_controls_out() -> None:
    """A batch of one is the control of batch noise, not a severity of it."""
    batches = tuple(Condition("batch", n, 0, batch_name(int(n))) for n in ("4", "2", "1"))
    groups = cohorts([made_up("plain", 0, 0.9, conditions=batches)])
    (axis,) = draw_curves(groups).axes
    heights = [100 * groups[0].right([c]).mean() for c in (CLEAN, *batches)]
    lines = [
        line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 1
    ]
    assert [list(line.get_ydata()) for line in lines] == [pytest.approx(heights[:3])]
    (points,) = axis.containers
    assert list(points[0].get_ydata()) == pytest.approx(heights)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "severities", "joined"),
    [
        ("batch", ("16", "4", "4:noise", "1"), 3),
        ("random", ("0.1", "0.5", "uniform"), 3),
        ("constant", ("0.8,0.8", "0.5,0.2"), 1),
        ("fog", (1, 2, 3), 4),
    ],
)
def test_only_an_order_is_joined(kind: str, severities: tuple[str | int, ...], joined: int) -> None:
    """Companions of another kind, another distribution and pairs of numbers are in no order."""
    conditions = tuple(Condition(kind, severity) for severity in severities)
    groups = cohorts([made_up("plain", 0, 0.9, conditions=conditions)])
    (axis,) = draw_curves(groups).axes
    (line,) = [line for line in axis.lines if line.get_linestyle() == "-"]
    assert list(line.get_xdata()) == pytest.approx(list(range(joined)), abs=0.5)


def test_clean_images_on_several_statistics_make_a_panel() -> None:
    other = Condition("clean", "", 0, "re-estimated")
    groups = cohorts([made_up("plain", 0, 0.9, conditions=(other,))])
    assert panels(draw_curves(groups)) == {"clean images": ["running", "re-estimated"]}


def test_each_training_has_panels_of_its_own_and_a_variant_one_colour() -> None:
    groups = cohorts(
        [
            made_up("plain", 0, 0.9, conditions=NOISES[2:]),
            made_up("SE", 0, 0.8, conditions=NOISES[2:], trained_under="batch 8"),
            made_up("plain", 0, 0.6, conditions=NOISES[2:], trained_under="batch 8"),
        ]
    )
    figure = draw_curves(groups)
    clean, batch = figure.axes
    assert clean.get_title() == "fog\ntrained under no noise"
    assert batch.get_title() == "fog\ntrained under batch 8"
    colours = [
        {c.get_label(): c[0].get_color() for c in axis.containers}  # type: ignore[union-attr]
        for axis in (clean, batch)
    ]
    assert list(colours[0]) == ["plain"]
    assert colours[1].keys() == {"plain", "SE"}
    assert colours[0]["plain"] == colours[1]["plain"] != colours[1]["SE"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "SE"]


def test_every_point_is_inside_its_panel() -> None:
    """The highest ones are in the last panel."""
    groups = cohorts(
        [
            made_up("plain", 0, share, conditions=FOG, trained_under=under)
            for share, under in ((0.3, ""), (0.5, "constant 0.5,0.5"), (0.9, "batch 8"))
        ]
    )
    heights = []
    for axis in draw_curves(groups).axes:
        for container in axis.containers:
            heights += list(container[0].get_ydata())  # type: ignore[union-attr]
        low, high = axis.get_ylim()
        assert low == 0
        assert high <= 100
        assert all(low <= height <= high for height in heights)
    assert max(heights) > 80


def test_many_kinds_fill_rows_of_five() -> None:
    kinds = tuple(Condition(f"kind{k}", 1) for k in range(7))
    figure = draw_curves(cohorts([made_up("plain", 0, 0.9, conditions=kinds)]))
    assert len(figure.axes) == 10
    assert len(panels(figure)) == 7


def test_colours_differ_in_brightness_or_in_the_blue_yellow_direction() -> None:
    """What red-green blindness leaves: all pairs stay apart (Okabe and Ito's set)."""
    seen = []
    for colour in _COLOURS:
        red, green, blue = to_rgb(colour)
        yellow = (red + green) / 2
        seen.append((0.6 * yellow + 0.4 * green, blue - yellow))
    for index, one in enumerate(seen):
        for other in seen[index + 1 :]:
            assert max(abs(one[0] - other[0]), abs(one[1] - other[1])) > 0.1


def test_files_are_a_png_and_an_svg(tmp_path: Path) -> None:
    written = save_curves(draw_curves(GROUPS), tmp_path / "curves.png")
    assert [path.name for path in written] == ["curves.png", "curves.svg"]
    assert Image.open(written[0]).width > 400
    assert ElementTree.parse(written[1]).getroot().tag.endswith("svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "curves.svg"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_bars_are_the_intervals(seeds: int) -> None:
    groups = cohorts([made_up("plain", s, 0.9, conditions=FOG) for s in range(seeds)])
    axis = draw_curves(groups).axes[0]
    (bars,) = axis.containers[0][2]  # type: ignore[index]
    ends = [segment[:, 1] for segment in bars.get_segments()]
    assert all(low < high for low, high in ends)
    assert len(ends) == 3
