"""styletransfer.images.read: each kind of image against known values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import PHOTO, PIXELS, as_tensor, save
from PIL import Image

from asr_core.data.images import ImageError
from styletransfer.images.read import read_image


@pytest.fixture
def rgb() -> Image.Image:
    return PHOTO.copy()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", PHOTO)


def test_rgb_is_read_exactly(png: Path) -> None:
    image = read_image(png)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    assert torch.equal(image, as_tensor(PIXELS))


def test_a_path_may_be_a_string(png: Path) -> None:
    assert torch.equal(read_image(str(png)), as_tensor(PIXELS))


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".ppm", ".webp", ".gif", ".jpg"])
def test_other_formats_equal_what_pillow_decodes(
    tmp_path: Path, rgb: Image.Image, suffix: str
) -> None:
    path = save(tmp_path / f"photo{suffix}", rgb)
    expected = np.array(Image.open(path).convert("RGB"))
    assert torch.equal(read_image(path), as_tensor(expected))


def test_the_content_counts_not_the_suffix(tmp_path: Path, rgb: Image.Image) -> None:
    path = tmp_path / "photo.jpg"
    rgb.save(path, format="PNG")
    assert torch.equal(read_image(path), as_tensor(PIXELS))


def test_greyscale_fills_three_equal_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.png", Image.fromarray(PIXELS[:, :, 0]))
    assert torch.equal(read_image(path), as_tensor(PIXELS[:, :, [0, 0, 0]]))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = PIXELS[:, :, 0] > 127
    path = save(tmp_path / "bits.png", Image.fromarray(bits))
    assert Image.open(path).mode == "1"
    assert torch.equal(read_image(path), torch.tensor(bits).float().expand(3, -1, -1))


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (18, 24, 1), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(np.concatenate([PIXELS, alpha], 2)))
    over = as_tensor(PIXELS) * as_tensor(alpha) + (1 - as_tensor(alpha))
    assert (read_image(path) - over).abs().max() <= 1 / 255
    assert (over - as_tensor(PIXELS)).abs().max() > 0.5, "the alpha is not vacuous"


def test_full_and_no_alpha_are_exact(tmp_path: Path) -> None:
    alpha = np.zeros((18, 24, 1), dtype=np.uint8)
    alpha[:9] = 255
    path = save(tmp_path / "a.png", Image.fromarray(np.concatenate([PIXELS, alpha], 2)))
    image = read_image(path)
    assert torch.equal(image[:, :9], as_tensor(PIXELS)[:, :9])
    assert torch.equal(image[:, 9:], torch.ones(3, 9, 24))


def test_grey_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    grey = PIXELS[:, :, :2].copy()
    grey[:, :12, 1] = 0
    grey[:, 12:, 1] = 255
    path = save(tmp_path / "la.png", Image.fromarray(grey, mode="LA"))
    image = read_image(path)
    assert torch.equal(image[:, :, :12], torch.ones(3, 18, 12))
    assert torch.equal(image[:, :, 12:], as_tensor(grey[:, :, [0, 0, 0]])[:, :, 12:])


def palette(indices: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices, mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_palette_becomes_its_colours(tmp_path: Path, suffix: str) -> None:
    indices = np.arange(18 * 24, dtype=np.uint8).reshape(18, 24) % 3
    path = save(tmp_path / f"p{suffix}", palette(indices))
    assert Image.open(path).mode == "P"
    assert torch.equal(read_image(path), torch.eye(3)[torch.tensor(indices).long()].movedim(-1, 0))


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_a_transparent_palette_entry_becomes_white(tmp_path: Path, suffix: str) -> None:
    indices = np.arange(18 * 24, dtype=np.uint8).reshape(18, 24) % 3
    path = save(tmp_path / f"p{suffix}", palette(indices), transparency=1)
    colours = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 0, 1]])
    assert torch.equal(read_image(path), colours[torch.tensor(indices).long()].movedim(-1, 0))


def test_a_transparent_colour_of_an_rgb_png_becomes_white(tmp_path: Path) -> None:
    path = save(tmp_path / "t.png", Image.new("RGB", (20, 20), (9, 8, 7)), transparency=(9, 8, 7))
    assert torch.equal(read_image(path), torch.ones(3, 20, 20))


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_cmyk_equals_pillows_conversion(tmp_path: Path, rgb: Image.Image, suffix: str) -> None:
    path = save(tmp_path / f"c{suffix}", rgb.convert("CMYK"))
    opened = Image.open(path)
    assert opened.mode == "CMYK"
    assert torch.equal(read_image(path), as_tensor(np.array(opened.convert("RGB"))))


def test_pure_cmyk_inks_have_the_right_colours(tmp_path: Path) -> None:
    """Cyan ink takes away red: a check that no sign is turned anywhere."""
    path = save(tmp_path / "c.tiff", Image.new("CMYK", (16, 16), (255, 0, 0, 0)))
    assert read_image(path)[:, 0, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_keep_their_depth(tmp_path: Path, suffix: str) -> None:
    deep = np.full((16, 17), 32768, dtype=np.uint16)
    deep[0, :4] = [0, 1, 256, 65535]
    path = save(tmp_path / f"deep{suffix}", Image.fromarray(deep))
    assert Image.open(path).mode.startswith("I")
    image = read_image(path)
    expected = torch.tensor([0, 1 / 65535, 256 / 65535, 1.0])
    assert torch.allclose(image[:, 0, :4], expected.expand(3, 4), atol=1e-9)
    assert torch.allclose(image[:, 1:], torch.tensor(32768 / 65535))
    assert image.dtype == torch.float32


def test_big_endian_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "deep.pgm"
    path.write_bytes(b"P5 16 16 65535\n" + b"\x01\x00" * 256)
    assert torch.allclose(read_image(path), torch.tensor(256 / 65535))


def test_16_bit_colour_keeps_its_range(tmp_path: Path) -> None:
    path = tmp_path / "deep.ppm"
    path.write_bytes(b"P6 16 16 65535\n" + b"\xff\xff\x00\x00\x80\x00" * 256)
    assert torch.allclose(read_image(path)[:, 0, 0], torch.tensor([1, 0, 0.5]), atol=1 / 255)


def test_32_bit_integers_of_16_bit_range_are_16_bit_images(tmp_path: Path) -> None:
    deep = np.full((16, 16), 65535, dtype=np.int32)
    deep[0, 0] = 0
    image = read_image(save(tmp_path / "i.tiff", Image.fromarray(deep)))
    assert image[:, 0, 0].tolist() == [0, 0, 0]
    assert image[:, 1:].min() == 1


def test_float_images_are_taken_as_they_are(tmp_path: Path) -> None:
    values = np.random.default_rng(2).random((18, 24), dtype=np.float32)
    path = save(tmp_path / "f.tiff", Image.fromarray(values))
    assert torch.equal(read_image(path), torch.tensor(values).expand(3, -1, -1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((16, 16), 70000, np.int32), "integer image with values .*expected 0 to 65535"),
        (np.full((16, 16), -1, np.int32), "integer image with values from -1 to -1"),
        (np.full((16, 16), 255.0, np.float32), "float image with values .*expected 0 to 1"),
        (np.full((16, 16), np.nan, np.float32), "float image with values from nan"),
    ],
)
def test_a_range_that_would_need_a_guess_is_refused(
    tmp_path: Path, values: np.ndarray, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(save(tmp_path / "x.tiff", Image.fromarray(values)))


TURNS = {  # EXIF orientation -> what the viewer must do
    1: lambda x: x,
    2: lambda x: x.flip(2),
    3: lambda x: x.rot90(2, (1, 2)),
    4: lambda x: x.flip(1),
    5: lambda x: x.transpose(1, 2),
    6: lambda x: x.rot90(-1, (1, 2)),
    7: lambda x: x.rot90(2, (1, 2)).transpose(1, 2),
    8: lambda x: x.rot90(1, (1, 2)),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_the_exif_orientation_is_applied(
    tmp_path: Path, rgb: Image.Image, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", rgb, exif=exif)
    assert torch.equal(read_image(path), TURNS[orientation](as_tensor(PIXELS)))


def test_of_an_animation_the_first_frame_is_used_and_reported(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ("red", "blue"))
    path = save(tmp_path / "a.gif", red, save_all=True, append_images=[blue, red])
    notes: list[tuple[Path, str]] = []
    image = read_image(path, on_note=lambda *note: notes.append(note))
    assert image[:, 5, 5].tolist() == [1, 0, 0]
    assert notes == [(path, "has 3 frames; the first is used")]
    assert torch.equal(read_image(path), image), "the note is optional"


def test_a_still_image_gives_no_note(png: Path) -> None:
    notes: list[str] = []
    read_image(png, on_note=lambda path, note: notes.append(note))
    assert notes == []
