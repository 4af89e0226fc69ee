"""styletransfer.images.lazy: as many images as there are, one opened at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import save
from PIL import Image

import styletransfer.images.lazy
from asr_core.errors import InputError
from styletransfer.images.lazy import LazyImages
from styletransfer.images.read import read_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of five colours."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(5):
        noise = np.random.default_rng(index).integers(0, 40, (30, 40, 3))
        save(folder / f"{index}.png", Image.fromarray((50 * index + noise).astype(np.uint8)))
    return folder


@pytest.fixture
def skipped() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded, in order."""
    names: list[str] = []

    def read(path: Path, **options: object) -> torch.Tensor:
        names.append(path.name)
        return read_image(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(styletransfer.images.lazy, "read_image", read)
    return names


def images(folder: Path, skipped: list[tuple[str, str]], **options: int) -> LazyImages:
    return LazyImages(
        [folder], on_skip=lambda path, reason: skipped.append((path.name, reason)), **options
    )


def cut(path: Path) -> None:
    """Damage behind the header."""
    path.write_bytes(path.read_bytes()[:-2000])


def test_it_is_the_sequence_of_the_images(folder: Path, skipped: list[tuple[str, str]]) -> None:
    found = images(folder, skipped, size=20)
    wanted = [read_image(folder / f"{index}.png", size=20) for index in range(5)]
    assert len(found) == 5
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert torch.equal(found[-1], wanted[4])
    assert [image.shape for image in found[1:3]] == [(3, 20, 26)] * 2
    assert skipped == []
    with pytest.raises(IndexError):
        found[5]


def test_nothing_is_decoded_before_it_is_asked_for(
    folder: Path, skipped: list[tuple[str, str]], opened: list[str]
) -> None:
    found = images(folder, skipped)
    assert opened == []
    assert torch.equal(found[3], found[3])
    assert opened == ["3.png"], "and kept for the next time"


def test_only_so_many_images_are_kept(
    folder: Path,
    skipped: list[tuple[str, str]],
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(styletransfer.images.lazy, "_KEPT", 2)
    found = images(folder, skipped)
    for index in (0, 1, 2, 0):
        found[index]
    assert opened == ["0.png", "1.png", "2.png", "0.png"]


def test_bad_headers_are_reported_at_once(folder: Path, skipped: list[tuple[str, str]]) -> None:
    (folder / "1.png").write_text("<html>")
    (folder / "3.png").write_bytes(b"")
    found = images(folder, skipped)
    assert len(found) == 3
    assert [name for name, _ in skipped] == ["1.png", "3.png"]
    assert skipped[1][1] == "is empty (0 bytes)"


def test_the_next_good_image_stands_in_for_a_damaged_one(
    folder: Path, skipped: list[tuple[str, str]]
) -> None:
    good = list(images(folder, skipped))
    for name in ("1.png", "2.png", "4.png"):
        cut(folder / name)
    found = images(folder, skipped)
    assert (len(found), skipped) == (5, [])
    for _ in range(2):
        for index, standing_in in enumerate([0, 3, 3, 3, 0]):
            assert torch.equal(found[index], good[standing_in])
    assert [name for name, _ in skipped] == ["1.png", "2.png", "4.png"], "once each"
    assert all("damaged or cut short" in reason for _, reason in skipped)


def test_a_bad_file_given_by_name_is_an_error(folder: Path, skipped: list[tuple[str, str]]) -> None:
    def on_skip(path: Path, reason: str) -> None:
        raise AssertionError(path)

    (folder / "1.png").write_text("<html>")
    with pytest.raises(InputError, match=r"1\.png: looks like an HTML page"):
        LazyImages([folder, folder / "1.png"], on_skip=on_skip)
    cut(folder / "2.png")
    found = LazyImages([folder / "0.png", folder / "2.png"], on_skip=on_skip)
    with pytest.raises(InputError, match=r"2\.png: is damaged"):
        found[1]


def test_without_a_usable_file_it_is_an_error(folder: Path, skipped: list[tuple[str, str]]) -> None:
    for path in folder.iterdir():
        cut(path)
    with pytest.raises(InputError, match="none of the 5 files could be decoded"):
        images(folder, skipped)[0]
    for path in folder.iterdir():
        path.write_text("no image")
    with pytest.raises(InputError, match="none of the 5 files is a usable image"):
        images(folder, skipped)


def test_limits_hold(folder: Path, skipped: list[tuple[str, str]]) -> None:
    with pytest.raises(InputError, match="none of the 5 files is a usable image"):
        images(folder, skipped, max_pixels=100)
    assert "over the limit of 100" in skipped[0][1]
