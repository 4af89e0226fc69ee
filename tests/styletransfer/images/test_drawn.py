"""styletransfer.images.drawn: pictures by code, equal for equal seeds at any size."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from asr_core.errors import InputError
from styletransfer.images import drawn
from styletransfer.images.drawn import STYLES, draw_style

NAMES = STYLES.names()


def test_there_are_at_least_two_styles() -> None:
    assert {"mosaic", "waves", "hatching", "points"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_style_is_a_colourful_picture(name: str) -> None:
    image = draw_style(name, size=96)
    assert image.shape == (3, 96, 96)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.1, "it has contrast"
    if name != "hatching":  # ink on paper
        assert (image.amax(0) - image.amin(0)).mean() > 0.1, "it has colours"
    blocks = F.avg_pool2d(image, 24)
    assert blocks.std(dim=(1, 2)).max() < 0.5 * image.std(), "it is texture, the same all over"


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_pictures(name: str) -> None:
    first = draw_style(name, size=64, seed=3)
    torch.rand(5)
    drawn._drawn.cache_clear()
    assert torch.equal(draw_style(name, size=64, seed=3), first)
    assert (draw_style(name, size=64, seed=4) - first).abs().mean() > 0.05


def test_a_picture_is_the_callers_own() -> None:
    first = draw_style("waves", size=64)
    kept = first.clone()
    first.zero_()
    assert torch.equal(draw_style("waves", size=64), kept)


def test_styles_differ() -> None:
    pictures = [draw_style(name, size=64) for name in NAMES]
    assert all((a - b).abs().mean() > 0.1 for a, b in itertools.combinations(pictures, 2))


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    drawn._drawn.cache_clear()
    draw_style("mosaic", size=64)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [64, 65, 100])
def test_any_size_from_64_on_is_drawn(size: int) -> None:
    assert draw_style("mosaic", size=size).shape == (3, size, size)


@pytest.mark.parametrize("size", [63, 0, -1])
def test_smaller_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"style size is {size}"):
        draw_style("mosaic", size=size)


def test_an_unknown_style_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"style 'mosaik'\. Did you mean 'mosaic'\?.*waves"):
        draw_style("mosaik")
