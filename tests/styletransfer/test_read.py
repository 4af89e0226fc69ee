"""styletransfer.images.read: what users bring, of every kind, against values known beforehand."""

import io
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from asr_core.errors import InputError
from styletransfer.images.decode import ImageError
from styletransfer.images.names import unique_names
from styletransfer.images.read import find_images, read_image, read_images, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)


def as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.tensor(pixels).permute(2, 0, 1) / 255


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.fixture
def rgb() -> Image.Image:
    return Image.fromarray(PIXELS)


@pytest.fixture
def png(tmp_path: Path, rgb: Image.Image) -> Path:
    return save(tmp_path / "photo.png", rgb)


def no_skip(path: Path, reason: str) -> None:
    raise AssertionError(f"skipped {path}: {reason}")


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing else."""
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    end = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + end


# --- the kinds of images ------------------------------------------------------------------------


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


# --- files that cannot be used --------------------------------------------------------------------

HTML = [
    b"<!DOCTYPE html><html><body>404</body></html>",
    b"\xef\xbb\xbf\n  <HTML lang='en'>",
    b"<!-- page --> <!-- \n --><html>",
    b"<head><title>Not found</title>",
]
BAD = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "text": (b"Dear diary, <html> is a tag", "is not an image of a known format"),
    "zeros": (bytes(1000), "is not an image of a known format"),
    "svg": (b"<svg xmlns='x'/>", "is not an image of a known format"),
} | {f"html{i}": (text, "looks like an HTML page") for i, text in enumerate(HTML)}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    content, message = BAD[kind]
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"photo\.jpg: {message}") as caught:
        read_image(path)
    assert caught.value.path == path
    assert isinstance(caught.value, InputError)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")


def test_a_dangling_link_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("nowhere.png")
    with pytest.raises(ImageError, match=r"link\.png: no such file"):
        read_image(tmp_path / "link.png")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="is not a regular file"):
        read_image(tmp_path / "pipe.png")


def test_no_permission(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(png))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ImageError, match=r"photo\.png: no permission to read it"):
        read_image(png)


def test_postscript_is_not_run(tmp_path: Path, rgb: Image.Image) -> None:
    with pytest.raises(ImageError, match="is PostScript"):
        read_image(save(tmp_path / "x.eps", rgb))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.8])
def test_a_file_cut_short_is_an_error(
    tmp_path: Path, rgb: Image.Image, suffix: str, kept: float
) -> None:
    path = save(tmp_path / f"photo{suffix}", rgb)
    assert read_image(path).shape == (3, 18, 24), "the whole file is fine"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


def outcome(path: Path) -> Tensor | str:
    """The image, or the message of the one error that damage may cause."""
    try:
        return read_image(path, max_pixels=100_000)
    except ImageError as error:
        return str(error)


@given(data=st.data(), suffix=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO"]))
def test_whatever_is_flipped_gives_an_image_or_an_image_error(
    data: st.DataObject, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, suffix)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(content)
    result = outcome(path)
    if isinstance(result, str):
        assert result.startswith(f"{path}: ")
    else:
        assert result.shape[0] == 3
        assert 0 <= result.min() <= result.max() <= 1


# --- limits ---------------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_by_default(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(20_000, 20_000))
    with pytest.raises(ImageError, match=r"has 400,000,000 pixels, .* 50,000,000;.*--max-pixels"):
        read_image(path)


def test_the_limit_comes_before_decoding(tmp_path: Path) -> None:
    """The file is a header without pixels, so to a decoder it is damaged."""
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(300, 200))
    with pytest.raises(ImageError, match="has 60,000 pixels"):
        read_image(path, max_pixels=59_999)
    with pytest.raises(ImageError, match="damaged"):
        read_image(path, max_pixels=60_000)


def test_pillows_own_limit_neither_warns_nor_refuses(
    png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(png)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(png).shape == (3, 18, 24)
    assert Image.MAX_IMAGE_PIXELS == 100, "Pillow's global is put back"


def test_pillows_limit_is_put_back_after_an_error(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError):
        read_image(tmp_path / "none.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillows_limit_is_put_back_after_reading_in_threads(png: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=read_image, args=[png]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_an_image_nested_in_a_small_one_is_held_to_the_limit(tmp_path: Path) -> None:
    """An icon's directory says 16×16; the PNG inside says otherwise."""
    inside = png_header(20_000, 20_000)
    entry = bytes([16, 16, 0, 0]) + b"\1\0\x20\0" + len(inside).to_bytes(4, "little")
    path = tmp_path / "x.ico"
    path.write_bytes(b"\0\0\1\0\1\0" + entry + (22).to_bytes(4, "little") + inside)
    with pytest.raises(ImageError, match="has 400,000,000 pixels, over the limit of 1,000,000"):
        read_image(path, max_pixels=1_000_000)


def test_the_limit_is_inclusive(png: Path) -> None:
    assert read_image(png, max_pixels=18 * 24).shape == (3, 18, 24)
    with pytest.raises(ImageError, match="over the limit of 431"):
        read_image(png, max_pixels=18 * 24 - 1)


def test_one_pixel_is_too_small(tmp_path: Path) -> None:
    path = save(tmp_path / "dot.png", Image.new("RGB", (1, 1)))
    with pytest.raises(ImageError, match=r"dot\.png: is 1×1 pixels; each side .* at least 16"):
        read_image(path)
    assert read_image(path, min_side=1).shape == (3, 1, 1)


def test_both_sides_count(tmp_path: Path) -> None:
    for size in [(15, 100), (100, 15)]:
        with pytest.raises(ImageError, match="at least 16"):
            read_image(save(tmp_path / "strip.png", Image.new("RGB", size)))


def test_a_strip_must_not_grow_beyond_the_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "strip.png", Image.new("RGB", (16, 4000)))
    assert read_image(path, max_pixels=16 * 4000, size=16).shape == (3, 4000, 16)
    with pytest.raises(ImageError, match=r"would be 64×16000 pixels at size 64.*--max-pixels"):
        read_image(path, max_pixels=16 * 4000, size=64)


# --- resizing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 17, 18, 40])
def test_resizing_equals_torchvisions(png: Path, size: int) -> None:
    oracle = transforms.resize(
        as_tensor(PIXELS), [size], interpolation=InterpolationMode.BICUBIC, antialias=True
    ).clamp(0, 1)
    image = read_image(png, size=size)
    assert image.shape == oracle.shape
    assert min(image.shape[1:]) == size
    assert (image - oracle).abs().max() < 1e-5


def test_resizing_smooths_before_it_drops_pixels(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2).astype(bool)
    path = save(tmp_path / "board.png", Image.fromarray(board))
    assert (read_image(path, size=16) - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("box", [(60, 20), (20, 60), (41, 20), (20, 20)])
def test_the_crop_is_the_middle(tmp_path: Path, box: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (box[1], box[0], 3), dtype=np.uint8)
    path = save(tmp_path / "x.png", Image.fromarray(pixels))
    expected = transforms.center_crop(as_tensor(pixels), [20, 20])
    image = read_image(path, size=20, crop=True)
    if box == (41, 20):  # an odd rest: either middle is one
        left = as_tensor(pixels)[:, :, 10:30]
        assert torch.equal(image, expected) or torch.equal(image, left)
    else:
        assert torch.equal(image, expected)
    assert image.is_contiguous()


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_below_one_is_refused(png: Path, size: int) -> None:
    with pytest.raises(InputError, match=f"size must be at least 1 pixel, got {size}"):
        read_image(png, size=size)


def test_a_crop_without_size_is_refused(png: Path) -> None:
    with pytest.raises(InputError, match="crop needs a size"):
        read_image(png, crop=True)


def test_deep_greyscale_is_resized_too(tmp_path: Path) -> None:
    path = save(tmp_path / "d.png", Image.fromarray(np.full((40, 60), 65535, np.uint16)))
    image = read_image(path, size=20, crop=True)
    assert image.shape == (3, 20, 20)
    assert torch.allclose(image, torch.ones(()))


# --- many images ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, rgb: Image.Image) -> Path:
    """Two images, a subfolder with one more, a text, an HTML page, hidden things."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ["b.png", "a.png", "more/c.png", ".cache/x.png", ".hidden.png"]:
        rgb.save(folder / name)
    (folder / "notes.txt").write_text("hello")
    (folder / "page.jpg").write_text("<html>")
    return folder


def test_a_folder_gives_its_files_sorted_without_hidden_ones(folder: Path) -> None:
    names = [str(path.relative_to(folder)) for path in find_images([folder])]
    assert names == ["a.png", "b.png", "more/c.png", "notes.txt", "page.jpg"]


def test_one_path_need_not_be_in_a_list(folder: Path, png: Path) -> None:
    assert find_images(folder) == find_images([folder])
    assert find_images(str(png)) == [png]


def test_a_file_named_twice_comes_once(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    found = find_images([folder / "a.png", folder, folder / "." / "a.png"])
    assert [path.name for path in found] == ["a.png", "b.png", "c.png", "notes.txt", "page.jpg"]


def test_bad_files_in_a_folder_are_skipped_and_named(folder: Path) -> None:
    skipped: list[tuple[Path, str]] = []
    images = dict(read_images([folder], on_skip=lambda *skip: skipped.append(skip)))
    assert list(images) == ["a", "b", "c"]
    assert all(torch.equal(image, as_tensor(PIXELS)) for image in images.values())
    assert [path.name for path, _ in skipped] == ["notes.txt", "page.jpg"]
    assert [reason for _, reason in skipped] == [
        "is not an image of a known format, or its header is damaged",
        "looks like an HTML page, not an image; was the download an error page?",
    ]


def test_a_bad_file_given_by_name_is_an_error_before_any_image(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"page\.jpg: looks like an HTML page"):
        read_images([folder / "a.png", folder / "page.jpg"], on_skip=no_skip)


def test_given_by_name_counts_also_when_its_folder_came_first(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"page\.jpg"):
        read_images([folder, folder / "page.jpg"], on_skip=no_skip)


def test_damage_behind_the_header_is_an_error_when_the_file_is_reached(
    tmp_path: Path, png: Path
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(png.read_bytes()[:-200])
    images = read_images([png, cut], on_skip=no_skip)
    assert next(images)[0] == "photo"
    with pytest.raises(ImageError, match=r"cut\.png: is damaged or cut short"):
        next(images)


def test_a_folder_of_bad_files_only_is_an_error(folder: Path) -> None:
    for image in folder.rglob("*.png"):
        image.unlink()
    skipped: list[Path] = []
    images = read_images([folder], on_skip=lambda path, reason: skipped.append(path))
    with pytest.raises(InputError, match=r"none of the 2 files is a usable image; .*notes\.txt"):
        list(images)
    assert len(skipped) == 2


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder holds no files"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="no images given"):
        find_images([])
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        find_images([tmp_path / "none.png"])


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: object) -> Iterator[None]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"cannot list the folder \(Permission denied\)"):
        find_images([tmp_path])


def test_images_are_read_as_they_are_asked_for(folder: Path) -> None:
    """A stream: what is not reached yet may still change."""
    images = read_images([folder], on_skip=lambda *_: None)
    next(images)
    Image.new("RGB", (16, 16), "red").save(folder / "b.png")
    assert next(images)[1].shape == (3, 16, 16)


def test_options_reach_every_image_of_a_stream(folder: Path) -> None:
    notes: list[str] = []
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ("red", "blue"))
    red.save(folder / "d.gif", save_all=True, append_images=[blue])
    save(folder / "dot.png", Image.new("RGB", (9, 9)))
    images = read_images(
        [folder],
        on_skip=lambda *_: None,
        min_side=9,
        size=8,
        crop=True,
        on_note=lambda path, note: notes.append(path.name),
    )
    shapes = {name: tuple(image.shape) for name, image in images}
    assert shapes == dict.fromkeys(["a", "b", "d", "dot", "c"], (3, 8, 8))
    assert notes == ["d.gif"]
    skipped: list[str] = []
    names = [n for n, _ in read_images(folder, on_skip=lambda p, _: skipped.append(p.name),
                                       max_pixels=401)]  # fmt: skip
    assert names == ["d"], "20×20 is within 401 pixels, 18×24 is not"
    assert {"a.png", "dot.png"} <= set(skipped)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/a.png", "/x/b.png"], ["a", "b"]),
        (["/x/a.png", "/y/a.png", "/y/b.png"], ["x-a", "y-a", "b"]),
        (["/p/x/a.png", "/q/x/a.png"], ["p-x-a", "q-x-a"]),
        (["/x/a.png", "/x/a.jpg"], ["a-png", "a-jpg"]),
        (["/x/a.png", "/x/A.PNG"], ["x-a-png", "x-A-PNG-2"]),
        (["/b/a.png", "/b-a.png"], ["a", "b-a"]),
        (["/b/a.png", "/b-a.png", "/c/a.png"], ["b-a", "b-a-2", "c-a"]),
    ],
)
def test_names_take_as_much_of_the_path_as_they_need(paths: list[str], names: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == names


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "B", "b", "a-b", "b-2"]), min_size=1, max_size=3),
        unique_by=tuple,
        max_size=8,
    ),
    st.sampled_from([".png", ".jpg"]),
)
def test_names_are_unique_in_any_case(parts: list[list[str]], suffix: str) -> None:
    paths = [Path("/", *each).with_suffix(suffix) for each in parts]
    names = unique_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(
        "/" not in name and path.stem in name for name, path in zip(names, paths, strict=True)
    )


# --- writing --------------------------------------------------------------------------------------


def test_png_comes_back_equal(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "x.png", as_tensor(PIXELS))
    assert np.array_equal(np.array(Image.open(tmp_path / "new" / "x.png")), PIXELS)
    assert torch.equal(read_image(tmp_path / "new" / "x.png"), as_tensor(PIXELS))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_jpeg_is_written_by_suffix_and_close(tmp_path: Path, suffix: str) -> None:
    smooth = torch.linspace(0, 1, 32).expand(3, 32, 32)
    write_image(tmp_path / f"x{suffix}", smooth)
    assert Image.open(tmp_path / f"x{suffix}").format == "JPEG"
    assert (read_image(tmp_path / f"x{suffix}") - smooth).abs().max() < 0.02


def test_values_are_clamped_and_rounded(tmp_path: Path) -> None:
    image = torch.zeros(3, 16, 16)
    image[0, 0, :4] = torch.tensor([-3e-8, 1.5, 0.4 / 255, 0.6 / 255])
    write_image(tmp_path / "x.png", image)
    assert np.array(Image.open(tmp_path / "x.png"))[0, :4, 0].tolist() == [0, 255, 0, 1]


def test_half_precision_gradients_and_strides_do_not_matter(tmp_path: Path) -> None:
    image = as_tensor(PIXELS).half().transpose(1, 2).requires_grad_()
    write_image(tmp_path / "x.png", image)
    assert np.array_equal(np.array(Image.open(tmp_path / "x.png")), PIXELS.swapaxes(0, 1))


@pytest.mark.parametrize("suffix", ["", ".txt", ".eps"])
def test_an_unknown_suffix_lists_the_known(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=r"suffix must be one of \.png, \.jpg, \.jpeg"):
        write_image(tmp_path / f"x{suffix}", torch.zeros(3, 16, 16))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 16, 16), (16, 16, 3)])
def test_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \(3, H, W\), got "):
        write_image(tmp_path / "x.png", torch.zeros(shape))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    image = torch.zeros(3, 16, 16)
    image[1, 2, 3] = value
    with pytest.raises(InputError, match="not finite"):
        write_image(tmp_path / "x.png", image)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_keeps_the_old_picture(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = png.read_bytes()

    def fail(self: Image.Image, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        write_image(png, torch.zeros(3, 16, 16))
    assert png.read_bytes() == before
    assert os.listdir(png.parent) == ["photo.png"]


def test_equal_images_give_equal_bytes(tmp_path: Path) -> None:
    for name in ["a.png", "b.png", "a.jpg", "b.jpg"]:
        write_image(tmp_path / name, as_tensor(PIXELS))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert stat.S_ISREG((tmp_path / "a.png").stat().st_mode)
