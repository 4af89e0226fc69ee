"""styletransfer.images.read: what cannot be read, and why, in one line."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import PHOTO, PIXELS, save
from PIL import Image
from torch import Tensor

from asr_core.data.images import ImageError
from asr_core.errors import InputError
from styletransfer.images.read import read_image


@pytest.fixture
def rgb() -> Image.Image:
    return PHOTO.copy()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", PHOTO)


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

    monkeypatch.setattr(os, "open", denied)
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
