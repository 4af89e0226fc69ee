"""styletransfer.images.styles: a style by name or by file."""

from pathlib import Path

import pytest
import torch
from pictures import PHOTO, save

from asr_core.errors import InputError
from styletransfer.images.drawn import draw_style
from styletransfer.images.read import read_image
from styletransfer.images.styles import style_image, style_side


@pytest.mark.parametrize("size", [64, 96])
def test_a_known_name_is_drawn(size: int) -> None:
    name, image = style_image("waves", size=size)
    assert name == "waves"
    assert torch.equal(image, draw_style("waves", size=size))


def test_the_side_of_a_style_picture() -> None:
    assert [style_side(factor) for factor in (1, 0.5, 0.125, 2)] == [512, 256, 64, 1024]
    assert style_image("waves")[1].shape[1:] == (512, 512)
    for wrong in (0, 0.12, 2.1, float("nan")):
        with pytest.raises(InputError, match=f"stroke size is {wrong}"):
            style_side(wrong)


def test_a_file_is_read_and_named_by_its_stem(tmp_path: Path) -> None:
    path = save(tmp_path / "starry night.png", PHOTO)
    name, image = style_image(str(path), size=36)
    assert name == "starry night"
    assert image.shape == (3, 36, 48), "its shorter side is the size"
    assert torch.equal(image, read_image(path, size=36))


def test_a_file_does_not_pass_for_the_drawn_style_of_its_name(tmp_path: Path) -> None:
    path = save(tmp_path / "mosaic.png", PHOTO)
    name, image = style_image(str(path), size=64)
    assert name == "mosaic.png"
    assert image.shape != draw_style("mosaic", size=64).shape


def test_a_name_goes_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PHOTO.save("mosaic", format="png")
    assert torch.equal(style_image("mosaic", size=64)[1], draw_style("mosaic", size=64))
    assert style_image("./mosaic", size=64)[1].shape == (3, 64, 85)


def test_neither_name_nor_file_lists_the_names() -> None:
    with pytest.raises(InputError, match=r"'wave' is no file and no known name\. Known: mosaic"):
        style_image("wave")


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_is_no_style(name: str) -> None:
    with pytest.raises(InputError, match="is a folder"):
        style_image(name)


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "style.jpg").write_text("<html>")
    with pytest.raises(InputError, match=r"style\.jpg: looks like an HTML page"):
        style_image(str(tmp_path / "style.jpg"))
