import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from asr_core.errors import InputError
from robust.report.grid import GROUP_COLOURS, draw_grid


def solid(colour, size=(20, 20)):
    return Image.new("RGB", size, colour)


def colour_of(row, column):
    """A colour of its own for each cell, far from ink, paper and the group bars."""
    return (200 + row, 10 + column, 250 - row)


def coloured(groups, columns, cell=64, **options):
    rows = [
        (
            (group, f"row {i}") if group else f"row {i}",
            [solid(colour_of(i, j)) for j in range(columns)],
        )
        for i, group in enumerate(groups)
    ]
    labels = [f"image {j}" for j in range(columns)]
    return np.asarray(draw_grid(rows, column_labels=labels, cell=cell, **options))


def box_of(page, colour):
    """Top, left, height and width of what has ``colour``, which must fill its bounding box."""
    rows, columns = np.nonzero((page == colour).all(-1))
    assert rows.size, f"{colour} is nowhere"
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert rows.size == height * width, f"something covers part of {colour}"
    return rows.min(), columns.min(), height, width


def rgb(code):
    return tuple(int(code[i : i + 2], 16) for i in (1, 3, 5))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["", "IN", "BN", "BN+ASR"]), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(48, 130),
    st.sampled_from(["", "a title that is far too long for one line of so small a grid"]),
)
def test_cells_stand_in_rows_and_columns_whole_and_uncovered(groups, columns, cell, text):
    page = coloured(groups, columns, cell, title=text, footnote=text)
    boxes = np.array(
        [[box_of(page, colour_of(i, j)) for j in range(columns)] for i in range(len(groups))]
    )
    assert (boxes[..., 2:] == cell).all()
    tops, lefts = boxes[..., 0], boxes[..., 1]
    assert (tops == tops[:, :1]).all()  # each row at one height
    assert (lefts == lefts[:1]).all()
    assert (np.diff(tops[:, 0]) > cell).all()  # in order, with a gap
    assert (np.diff(lefts[0]) > cell).all()
    assert (boxes[..., :2] + cell <= page.shape[:2]).all()


def test_every_row_and_column_has_a_label_beside_its_cells():
    page = coloured(["", "IN", "IN"], 3)
    dark = (page < 100).all(-1)
    for i in range(3):
        top, left, height, _ = box_of(page, colour_of(i, 0))
        assert dark[top : top + height, :left].sum() > 20
        assert not dark[top : top + height, left - 2 : left].any()
    for j in range(3):
        top, left, _, width = box_of(page, colour_of(0, j))
        assert dark[:top, left : left + width].sum() > 20


def test_labels_differ_where_the_texts_do():
    rows = [("clean", [solid("red")]), ("noisy", [solid("red")]), ("clean", [solid("red")])]
    page = np.asarray(draw_grid(rows, column_labels=["a"], cell=64))
    tops = [top for top in range(1, len(page)) if cell_starts(page, top)]
    first, second, third = (page[top : top + 64, :60] for top in tops)
    assert (first == third).all()
    assert (first != second).any()


def cell_starts(page, row):
    """Whether a red cell begins in this row of pixels."""
    is_red = (page[row] == (255, 0, 0)).all(-1).any()
    return is_red and not (page[row - 1] == (255, 0, 0)).all(-1).any()


def test_a_group_is_one_bar_as_long_as_its_rows_and_named():
    page = coloured(["", "IN", "IN", "BN", "BN", "BN"], 2)
    for colour, rows in ((GROUP_COLOURS[0], (1, 2)), (GROUP_COLOURS[1], (3, 4, 5))):
        places, columns = np.nonzero((page == rgb(colour)).all(-1))
        tops = [box_of(page, colour_of(i, 0))[0] for i in rows]
        assert places.min() == tops[0]
        assert places.max() == tops[-1] + 64 - 1
        assert columns.max() < box_of(page, colour_of(0, 0))[1] - 20
        bar = page[places.min() : places.max() + 1, columns.min() : columns.max() + 1]
        assert 10 < (bar == 255).all(-1).sum() < 0.3 * bar[..., 0].size  # the name, in white


def test_groups_stand_further_apart_than_their_rows():
    page = coloured(["IN", "IN", "BN"], 1)
    tops = [box_of(page, colour_of(i, 0))[0] for i in range(3)]
    assert tops[2] - tops[1] > tops[1] - tops[0]


def test_pictures_are_scaled_to_fit_in_the_middle_keeping_their_shape():
    page = np.asarray(
        draw_grid(
            [("", [solid("red", (300, 150)), solid("blue", (10, 40))])],
            column_labels=["wide", "tall"],
            cell=80,
        )
    )
    wide, tall = box_of(page, (255, 0, 0)), box_of(page, (0, 0, 255))
    assert wide[2:] == (40, 80)
    assert tall[2:] == (80, 20)
    assert wide[0] - tall[0] == 20
    assert tall[1] - (wide[1] + 80) >= 30


def test_a_tensor_is_the_picture_of_its_values():
    photo = skimage.data.chelsea()[:200, :200]
    values = torch.from_numpy(photo.copy()).permute(2, 0, 1) / 255.0
    options = {"column_labels": ["chelsea"], "cell": 96}
    from_tensor = draw_grid([("x", [values])], **options)
    from_picture = draw_grid([("x", [Image.fromarray(photo)])], **options)
    assert from_tensor.tobytes() == from_picture.tobytes()
    assert from_tensor.mode == "RGB"


def test_a_missing_picture_is_hatched_and_says_so():
    page = np.asarray(draw_grid([("x", [solid("red"), None])], column_labels=["a", "b"], cell=120))
    top, left, height, width = box_of(page, (255, 0, 0))
    cell = page[top : top + height, left + width :]
    assert (cell == cell[..., :1]).all()
    levels, counts = np.unique(cell[..., 0], return_counts=True)
    common = set(levels[counts > 1000])
    assert {0xD9, 0xBC} <= common  # ground and hatching
    assert (cell[height // 2 - 8 : height // 2 + 8] < 0x70).sum() > 50  # the words


def test_same_arguments_give_the_same_picture():
    assert coloured(["IN"], 2).tobytes() == coloured(["IN"], 2).tobytes()


def test_title_and_footnote_take_their_own_room():
    bare = coloured(["IN"], 2)
    full = coloured(["IN"], 2, title="style: mosaic", footnote="statistics: running")
    assert full.shape[0] > bare.shape[0]
    assert full.shape[1] == bare.shape[1]
    end = box_of(full, colour_of(0, 0))[0] + 64
    assert (full[end + 2 :] < 150).any()
    assert (full[:20] < 100).any()


def test_a_group_may_have_a_colour_of_its_own_wherever_it_stands():
    chosen = {"BN": GROUP_COLOURS[4], "IN": "#102030"}
    for groups in (["BN", "X"], ["X", "IN", "BN"]):
        page = coloured(groups, 1, colours=chosen)
        for row, group in enumerate(groups):
            top = box_of(page, colour_of(row, 0))[0]
            bar = page[top : top + 64, :40].reshape(-1, 3)
            wanted = rgb(chosen.get(group, GROUP_COLOURS[0]))
            assert (bar == wanted).all(-1).sum() > 100


def test_a_page_may_be_as_wide_as_wanted():
    for columns in (2, 4, 6):
        page = coloured(["IN", "BN"], columns, width=900)
        assert 850 <= page.shape[1] <= 900
        side = box_of(page, colour_of(0, 0))[2]
        assert side * columns >= 600


def test_the_corner_holds_a_picture_in_the_place_of_the_first_label():
    style = solid((3, 5, 7), (30, 30))
    page = coloured(["", "IN"], 2, corner=("style", style))
    top, left, height, width = box_of(page, (3, 5, 7))
    first = box_of(page, colour_of(0, 0))
    assert top == first[0]
    assert left + width <= first[1]
    assert height == width > 0.6 * 64
    assert height <= first[2]
    assert (page[:top, left : left + width] < 100).all(-1).sum() > 10  # its label


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "0 rows and 1 columns is empty"),
        ([("x", [None])], {"column_labels": []}, "1 rows and 0 columns"),
        ([("x", [None, None])], {}, "row 'x' has 2 pictures for 1 columns"),
        ([("x", [None])], {"cell": 20}, "cells of 20 pixels are too small"),
        ([("x", [torch.zeros(1, 3, 8, 8)])], {}, r"shape \(1, 3, 8, 8\)\. Expected.*\(3, H, W\)"),
        ([("x", [torch.zeros(3, 8, 8, dtype=torch.uint8)])], {}, "uint8"),
    ],
)
def test_refused(rows, options, message):
    with pytest.raises(InputError, match=message):
        draw_grid(rows, **{"column_labels": ["a"], **options})
