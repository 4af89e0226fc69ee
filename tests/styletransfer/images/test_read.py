"""styletransfer.images.read: resizing, files and folders as a stream, writing."""

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import PHOTO, PIXELS, as_tensor, save
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from asr_core.data.images import FORMATS, ImageError
from asr_core.errors import InputError
from styletransfer.images.read import find_images, read_image, read_images, write_image


@pytest.fixture
def rgb() -> Image.Image:
    return PHOTO.copy()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", PHOTO)


def no_skip(path: Path, reason: str) -> None:
    raise AssertionError(f"skipped {path}: {reason}")


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
    with pytest.raises(InputError, match=f"size is {size}"):
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
        f"is not an image of a known format ({', '.join(FORMATS)}), or its header is damaged",
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


def test_an_image_is_let_go_before_the_next_is_read(folder: Path) -> None:
    """Heard from within: a file that is skipped calls back while the stream reads on."""
    (folder / "b.png").write_text("no image")
    freed: list[bool] = []
    images = read_images([folder], on_skip=lambda *_: freed.append(alive() is None))
    alive = weakref.ref(next(images)[1])
    next(images)
    assert freed == [True]


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
