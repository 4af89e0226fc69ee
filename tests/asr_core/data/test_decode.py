"""asr_core.data.folder.decode: torchvision's ImageNet transforms, decoding no more than needed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from torchvision import transforms

from asr_core.data.folder.decode import Sample, check, square
from asr_core.data.images import ImageError

TRAINING = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
)
TESTS = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])


def smooth(width: int, height: int, *, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def saved(path: Path, image: Image.Image) -> str:
    image.save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))
    return str(path)


def distance(ours: np.ndarray, theirs: Image.Image, *, rim: int = 0) -> int:
    """Greatest difference, in grey levels, without a ``rim``."""
    assert ours.shape == (224, 224, 3)
    assert ours.dtype == np.uint8
    return int(
        np.abs(ours.astype(int) - np.asarray(theirs))[rim : 224 - rim, rim : 224 - rim].max()
    )


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (900, 1200), (100, 80)])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_test_image_is_torchvisions(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = saved(tmp_path / f"x{suffix}", smooth(*size))
    allowed = 1 if suffix == ".png" else 5  # a JPEG of 900 pixels is decoded at half its size
    assert distance(square(Sample(path), 224), TESTS(Image.open(path))) <= allowed


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("size", [(500, 375), (1400, 1100)])
def test_a_training_image_is_torchvisions(
    tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    path = saved(tmp_path / f"x{suffix}", smooth(*size))
    squares = []
    for draw in (0, 1, 2**61 + 5):
        with torch.random.fork_rng():
            torch.manual_seed(draw)
            theirs = TRAINING(Image.open(path))
        ours = square(Sample(path, draw), 224)
        # At the rim torchvision's resizing sees the crop alone, ours the rest of the image too.
        assert distance(ours, theirs, rim=3) <= (1 if suffix == ".png" else 5)
        mirrored = theirs.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert distance(ours, mirrored) > 20, "the picture shows which side is left"
        squares.append(ours)
    assert len({pixels.tobytes() for pixels in squares}) == 3


def test_a_large_jpeg_is_decoded_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    load = JpegImagePlugin.JpegImageFile.load

    def spy(image: JpegImagePlugin.JpegImageFile) -> object:
        decoded.append(image.size)
        return load(image)

    path = saved(tmp_path / "x.jpg", smooth(1200, 1024))
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", spy)
    square(Sample(path), 224)
    assert set(decoded) == {(300, 256)}, "a quarter: just the pixels that the square needs"
    decoded.clear()
    square(Sample(path), 225)
    assert set(decoded) == {(600, 512)}
    decoded.clear()
    square(Sample(path, 0), 32)
    assert max(width for width, _ in decoded) < 1200


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = smooth(40, 30).convert("L").convert("I;16") if mode == "I;16" else smooth(40, 30)
    suffix = ".jpg" if mode == "CMYK" else ".png"
    path = saved(tmp_path / f"x{suffix}", image if mode == "I;16" else image.convert(mode))
    assert square(Sample(path), 16).shape == square(Sample(path, 3), 16).shape == (16, 16, 3)
    check(path)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**62 - 1))
def test_any_image_gives_the_square(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, size: int, draw: int
) -> None:
    path = saved(tmp_path_factory.getbasetemp() / "any.jpg", smooth(width, height))
    for sample in (Sample(path), Sample(path, draw)):
        assert square(sample, size).shape == (size, size, 3)


def test_the_global_generator_neither_matters_nor_moves(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", smooth(60, 50))
    torch.manual_seed(0)
    first = square(Sample(path, 9), 16)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert np.array_equal(square(Sample(path, 9), 16), first)
    assert torch.equal(torch.get_rng_state(), state)


def damaged(folder: Path) -> dict[str, bytes]:
    jpeg = Path(saved(folder / "good.jpg", smooth(300, 200))).read_bytes()
    png = Path(saved(folder / "good.png", smooth(300, 200))).read_bytes()
    return {
        "empty": b"",
        "text": b"<html>404</html>",
        "header": jpeg[:30],
        "cut": jpeg[: len(jpeg) // 2],
        "cut png": png[: len(png) // 2],
    }


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("empty", "is empty"),
        ("text", "looks like an HTML page"),
        ("header", "(?i)truncated"),
        ("cut", "image file is truncated"),
        ("cut png", "truncated"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, what: str, reason: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(damaged(tmp_path)[what])
    for read in (
        lambda: square(Sample(str(path)), 32),
        lambda: square(Sample(str(path), 1), 32),
        lambda: check(str(path)),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read()
        assert caught.value.path == path


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        check(str(tmp_path / "gone.jpg"))
    check(saved(tmp_path / "there.jpg", smooth(30, 20)))
