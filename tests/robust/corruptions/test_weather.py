"""Weather kinds: formulas by hand, scikit-image's colours, and the look of their fields."""

import pytest
import torch
from corrupted import corrupted, pictures, plain, unit
from skimage.color import hsv2rgb, rgb2hsv

from robust.corruptions import SEVERITIES, TABLES
from robust.corruptions.fields import TEXTURES, frost_texture, plasma
from robust.corruptions.weather import fog, frost, snow

HALF = 0.5 / 255 + 1e-9


def draws(count, first=0):
    return [torch.Generator().manual_seed(first + k) for k in range(count)]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_adds_to_the_value_of_hsv(severity, table):
    images = pictures(32, 4)
    images[0, :, :3] = 0  # black has no hue
    images[0, :, 3] = 255
    hsv = rgb2hsv(unit(images).numpy(), channel_axis=1)
    hsv[:, 2] = (hsv[:, 2] + TABLES[table]["brightness"][severity - 1]).clip(0, 1)
    expected = torch.from_numpy(hsv2rgb(hsv, channel_axis=1))
    ours = corrupted(images, "brightness", severity, table)
    assert (ours - expected).abs().max() <= HALF
    assert (ours - unit(images)).abs().max() > 0.04


def test_brightness_of_one_pixel_by_hand():
    image = torch.tensor([100, 50, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    bright = corrupted(image, "brightness", 1, "32")[0, :, 0, 0] * 255
    # 0.05 is 12.75 grey levels: V goes from 100 to 112.75, and the rest by the same factor
    assert bright.tolist() == pytest.approx([113, 56, 0])


def test_plasma_is_a_smooth_or_a_rough_field_in_the_unit_interval():
    smooth, rough = plasma(64, 3.0, draws(8)), plasma(64, 1.2, draws(8))
    for fields in (smooth, rough):
        assert fields.shape == (8, 64, 64)
        assert fields.amin((1, 2)).tolist() == [0] * 8
        assert fields.amax((1, 2)).tolist() == [1] * 8
    steps = [field.diff(dim=2).abs().mean().item() for field in (smooth, rough)]
    assert steps[1] > 3 * steps[0]
    around = (smooth[:, :, 0] - smooth[:, :, -1]).abs().mean().item()
    assert around < 3 * steps[0]  # periodic: the last column is beside the first


@pytest.mark.parametrize("decay", [1.3, 2.0, 3.0])
def test_plasma_halves_by_the_mean_of_four_neighbours(decay):
    # With the draws of the finest step at 0 (0.5 of the uniform ones), points of that step are the
    # mean of their neighbours: of the corners in the middle, of two corners and two middles else.
    side = 16
    raw = torch.rand(side * side, generator=draws(1)[0], dtype=torch.float64)
    raw[side * side // 4 - 1 :] = 0.5

    class Given:
        def __call__(self, shape, sources):
            return raw[None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robust.corruptions.fields.uniform", Given())
        field = plasma(side, decay, draws(1))[0]
    corner, middle = field[::2, ::2], field[1::2, 1::2]
    rows, columns = corner.roll(-1, 0), corner.roll(-1, 1)
    assert torch.allclose(middle, (corner + rows + columns + rows.roll(-1, 1)) / 4)
    across = (corner + columns + middle + middle.roll(1, 0)) / 4
    assert torch.allclose(field[::2, 1::2], across)
    down = (corner + rows + middle + middle.roll(1, 1)) / 4
    assert torch.allclose(field[1::2, ::2], down)


def test_fog_adds_its_cloud_and_keeps_the_greatest_value():
    images = unit(pictures(40, 2))
    thickness, decay = 1.5, 1.75
    cloud = plasma(64, decay, draws(2))[:, None, :40, :40]
    greatest = torch.stack([image.max() for image in images])[:, None, None, None]
    expected = (images + thickness * cloud) * greatest / (greatest + thickness)
    assert torch.equal(fog(images, (thickness, decay), draws(2)), expected)
    assert (expected <= greatest).all()


def test_frost_lays_a_piece_of_a_texture_over_the_picture():
    images = unit(pictures(32, 1))
    result = frost(images, (0.75, 0.45, 0.2), draws(1, first=3))
    piece = (result - 0.75 * images)[0] / 0.45
    # the piece is found in one of the textures, and in one place only
    windows = torch.stack([frost_texture(k, 154) for k in range(TEXTURES)])
    windows = windows.unfold(2, 32, 1).unfold(3, 32, 1).permute(0, 2, 3, 1, 4, 5)
    corner = (windows[..., 0, 0] - piece[:, 0, 0]).abs().amax(-1) < 1e-9
    assert sum(torch.allclose(w, piece, atol=1e-9) for w in windows[corner]) == 1


def test_frost_textures_are_as_bright_as_frost_and_each_of_its_own():
    textures = torch.stack([frost_texture(k, 300) for k in range(TEXTURES)])
    assert textures.min() >= 0
    assert textures.max() <= 1
    means, deviations = textures.mean((1, 2, 3)), textures.mean(1).flatten(1).std(1)
    assert ((means > 0.5) & (means < 0.7)).all()
    assert ((deviations > 0.1) & (deviations < 0.2)).all()
    colours = textures.mean((0, 2, 3))
    assert colours[0] < colours[1] < colours[2]
    alike = torch.corrcoef(textures.mean(1).flatten(1)).fill_diagonal_(0)
    assert alike.abs().max() < 0.3


def test_frost_takes_every_texture_and_images_larger_than_them():
    seen = {round(frost(torch.zeros(1, 3, 8, 8).double(), (0, 1, 1), draws(1, k)).mean().item(), 3)
            for k in range(12)}  # fmt: skip
    assert len(seen) > TEXTURES
    assert frost(torch.zeros(1, 3, 40, 700).double(), (0, 1, 0.2), draws(1)).min() > 0.1


def test_snow_without_flakes_only_pales():
    images = unit(pictures(32, 2))
    none = snow(images, (0.0, 0.0, 1, 0.5, 3, 1.0, 0.7), draws(2))
    red, green, blue = images.unbind(1)
    light = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
    expected = 0.7 * images + 0.3 * torch.maximum(images, 1.5 * light + 0.5)
    assert torch.allclose(none, expected, atol=1e-6)


def test_snow_falls_downwards_and_is_seen_upside_down_too():
    flakes = (
        snow(torch.zeros(6, 3, 64, 64).double(), TABLES["224"]["snow"][0], draws(6)) - 0.2 * 0.5
    )
    assert flakes.max() > 0.3
    assert torch.allclose(flakes, flakes.rot90(2, (2, 3)))
    down = flakes.diff(dim=2).abs().mean()
    across = flakes.diff(dim=3).abs().mean()
    assert down < 0.8 * across  # drawn out from top to bottom


@pytest.mark.parametrize("table", TABLES)
def test_more_flakes_lie_on_black_at_the_last_severity_than_at_the_first(table):
    black = plain(0, count=4)
    first, last = (corrupted(black, "snow", severity, table) for severity in (1, 5))
    assert last.mean() > 1.5 * first.mean() > 0
