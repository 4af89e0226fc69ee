"""styletransfer.images.read: limits on size, checked before decoding, and Pillow's own limit."""

import threading
import warnings
from pathlib import Path

import pytest
from pictures import PHOTO, png_header, save
from PIL import Image

from asr_core.data.images import ImageError
from styletransfer.images.read import read_image


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", PHOTO)


def test_too_many_pixels_are_refused_by_default(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(20_000, 20_000))
    with pytest.raises(ImageError, match=r"has 400,000,000 pixels, .* 50,000,000;.*max_pixels"):
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
    with pytest.raises(ImageError, match=r"would be 64×16000 pixels at size 64.*max_pixels"):
        read_image(path, max_pixels=16 * 4000, size=64)
