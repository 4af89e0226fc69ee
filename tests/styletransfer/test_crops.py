"""styletransfer.crops: random, but equal for equal generators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styletransfer.crops import draw_crops


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=generator(seed))


def test_equal_generators_give_equal_crops_and_others_do_not() -> None:
    images = [photograph(40, 60), photograph(50, 30, seed=1)]
    first = draw_crops(images, 4, 32, generator=generator())
    assert torch.equal(first, draw_crops(images, 4, 32, generator=generator()))
    assert not torch.equal(first, draw_crops(images, 4, 32, generator=generator(1)))


def test_a_generator_goes_on_from_batch_to_batch() -> None:
    images = [photograph(40, 60), photograph(50, 30, seed=1)]
    one = generator()
    parts = [draw_crops(images, 2, 16, generator=one) for _ in range(2)]
    assert torch.equal(torch.cat(parts), draw_crops(images, 4, 16, generator=generator()))
    assert not torch.equal(*parts)


def test_neither_the_photographs_nor_the_global_random_state_change() -> None:
    image = photograph(40, 60)
    before, state = image.clone(), torch.get_rng_state()
    draw_crops([image], 3, 16, generator=generator())
    assert torch.equal(image, before)
    assert torch.equal(torch.get_rng_state(), state)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 16, 24]), st.integers(0, 10_000))
def test_any_photograph_gives_whole_crops_in_range(
    height: int, width: int, size: int, seed: int
) -> None:
    crops = draw_crops([photograph(height, width)], 2, size, generator=generator(seed))
    assert crops.shape == (2, 3, size, size)
    assert crops.dtype == torch.float32
    assert crops.min() >= 0
    assert crops.max() <= 1


def test_a_photograph_smaller_than_the_crop_is_enlarged() -> None:
    crops = draw_crops([photograph(5, 7)], 1, 64, generator=generator())
    steps = (crops[..., 1:] - crops[..., :-1]).abs()
    assert crops.std() > 0
    assert steps.max() < 0.5, "smoothly, not in blocks"


def test_grey_photographs_get_colours() -> None:
    grey = torch.full((3, 40, 40), 0.8)
    crops = draw_crops([grey], 200, 8, generator=generator())
    colours = crops.mean((2, 3))
    assert colours.min() >= 0.8 * 0.75 - 1e-6
    assert colours.max() <= 0.8 + 1e-6
    assert (colours.amax(1) - colours.amin(1)).mean() > 0.05
    assert colours.mean() == pytest.approx(0.8 * 0.875, abs=0.01)


def test_crops_take_two_fifths_to_all_of_the_shorter_side_half_of_them_flipped() -> None:
    """On an exponential ramp the slope of the logarithm is the scale, whatever the tint."""
    height, width, size = 100, 150, 16
    ramp = torch.exp(torch.linspace(-2, 0, width)).expand(3, height, width)
    crops = draw_crops([ramp], 300, size, generator=generator())
    inner = crops[:, 0, size // 2].log()[:, 2:-2]
    slope = (inner[:, -1] - inner[:, 0]) / (inner.shape[1] - 1)
    share = slope.abs() * (width - 1) / 2 * size / height
    assert share.min() == pytest.approx(0.4, abs=0.03)
    assert share.max() == pytest.approx(1.0, abs=0.03)
    assert share.mean() == pytest.approx(0.7, abs=0.03)
    assert (slope < 0).float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("column", [0, -1])
def test_no_corner_is_left_out_and_none_is_in_all(row: int, column: int) -> None:
    image = torch.zeros(3, 40, 60)
    image[:, row, column] = 1
    image = torch.nn.functional.max_pool2d(image, 11, stride=1, padding=5)
    crops = draw_crops([image], 300, 16, generator=generator())
    share = (crops.amax((1, 2, 3)) > 0.5).float().mean()
    assert 0.03 < share < 0.5


def test_pictures_are_mirrored_but_never_upside_down() -> None:
    sky = torch.linspace(1, 0.2, 40)[:, None].expand(3, 40, 60)
    crops = draw_crops([sky], 100, 16, generator=generator())
    assert (crops[:, :, 0] > crops[:, :, -1]).all()


def test_every_photograph_is_drawn_as_often_as_it_is_given() -> None:
    dark, bright = torch.full((3, 20, 20), 0.2), torch.full((3, 20, 20), 1.0)
    crops = draw_crops([dark, bright, bright], 400, 4, generator=generator())
    share = (crops.mean((1, 2, 3)) > 0.5).float().mean()
    assert share == pytest.approx(2 / 3, abs=0.07)
