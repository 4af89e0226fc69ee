"""asr_core.data.torchvision_sets: CIFAR and STL10 from tiny files in their own formats."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from data_files import write_cifar, write_stl10
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from asr_core.data import ImageSet, MemorySplit, open_data, order
from asr_core.data.torchvision_sets import KEPT, LabelledSTL10
from asr_core.errors import InputError


def pixels(split: object) -> np.ndarray:
    assert isinstance(split, MemorySplit)
    return split.images.numpy()


def check(data: ImageSet, images: np.ndarray, labels: list[int], *, taken: list[int]) -> None:
    """``data`` is these training images, of which ``taken`` are the validation split."""
    kept = [index for index in range(len(images)) if index not in taken]
    assert np.array_equal(pixels(data.train), images[kept])
    assert np.array_equal(pixels(data.validation), images[taken])
    assert data.train.labels.tolist() == [labels[index] for index in kept]
    assert data.validation.labels.tolist() == [labels[index] for index in taken]
    assert data.test.labels.tolist() == list(range(data.num_classes))
    assert isinstance(data.train, MemorySplit)
    assert (data.train.padding, data.train.flip) == (4, True)
    batch, _ = next(order.train_batches(data.train, batch_size=4, seed=0, epoch=0))
    assert batch.shape == (4, 3, data.image_size, data.image_size)


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = write_cifar(tmp_path, monkeypatch)
    data = open_data("cifar10", folder=tmp_path)
    assert data.classes == tuple(f"class {i}" for i in range(10))
    check(data, images, labels, taken=list(range(90, 100)))


def test_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = write_cifar(tmp_path, monkeypatch, classes=100, per_class=2)
    data = open_data("cifar100", folder=tmp_path, image_size=32)
    assert data.num_classes == 100
    check(data, images, labels, taken=list(range(100, 200)))


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = write_stl10(tmp_path, monkeypatch)
    data = open_data("stl10", folder=tmp_path)
    assert data.classes[:2] == ("airplane", "bird")
    assert data.image_size == 96
    check(data, images, labels, taken=list(range(10, 20)))


def test_the_figures_are_the_well_known_ones() -> None:
    assert {kept.name: (kept.mean, kept.std) for kept in KEPT} == {
        "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        "stl10": ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
    }


# --- sets that are not there, or not whole --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cifar10", "cifar-10-batches-py/ with data_batch_1, .*, test_batch, batches.meta"),
        ("cifar100", "cifar-100-python/ with train, test, meta"),
        ("stl10", "stl10_binary/ with train_X.bin, train_y.bin, test_X.bin, test_y.bin"),
    ],
)
def test_a_missing_set_says_what_was_expected(tmp_path: Path, name: str, files: str) -> None:
    with pytest.raises(InputError, match=f"there is no .*/ in it.*{tmp_path}/{files}") as caught:
        open_data(name, folder=tmp_path)
    assert f"downloaded to {tmp_path}" in str(caught.value)
    assert "tar.gz" in str(caught.value)
    with pytest.raises(InputError, match=f"{name} needs a folder .*DIR/{files}"):
        open_data(name)
    with pytest.raises(InputError, match="gone: no such folder"):
        open_data(name, folder=tmp_path / "gone")


def test_missing_and_damaged_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, monkeypatch)
    place = tmp_path / "cifar-10-batches-py"
    (place / "data_batch_2").unlink()
    (place / "data_batch_4").write_bytes(b"<html>")
    with pytest.raises(
        InputError, match=r"missing: data_batch_2; damaged \(its MD5 is another\): data_batch_4\."
    ):
        open_data("cifar10", folder=tmp_path)


@pytest.mark.parametrize("name", ["batches.meta", "test_batch"])
def test_every_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_cifar(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / name).unlink()
    with pytest.raises(InputError, match=f"missing: {name}"):
        open_data("cifar10", folder=tmp_path)


def test_a_partial_stl10_is_named_and_its_unlabelled_part_need_not_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stl10(tmp_path, monkeypatch)
    assert not (tmp_path / "stl10_binary" / "unlabeled_X.bin").exists()
    open_data("stl10", folder=tmp_path)
    path = tmp_path / "stl10_binary" / "train_X.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"damaged \(its MD5 is another\): train_X.bin"):
        open_data("stl10", folder=tmp_path)


def test_a_label_out_of_range_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STL10 counts from 1: a 0 (unlabelled) becomes 255 in torchvision."""
    write_stl10(tmp_path, monkeypatch, labels=[0, 0, 0, 1, 1, 1, -1, -1, -1])
    with pytest.raises(InputError, match=r"stl10: label 255 of train image \d is out of range; "):
        open_data("stl10", folder=tmp_path)


@pytest.mark.parametrize(("name", "size"), [("cifar10", 32), ("cifar100", 32), ("stl10", 96)])
def test_other_sizes_are_refused(tmp_path: Path, name: str, size: int) -> None:
    with pytest.raises(InputError, match=f"{name} has images of {size}×{size} pixels, not 224"):
        open_data(name, folder=tmp_path, image_size=224)


# --- downloads ------------------------------------------------------------------------------------


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(self: object) -> None:
        asked.append(type(self))
        raise URLError("no route to host")

    for dataset in (CIFAR10, CIFAR100, STL10):
        monkeypatch.setattr(dataset, "download", fail)
    for kept in KEPT:
        with pytest.raises(InputError, match="there is no"):
            open_data(kept.name, folder=tmp_path)
    assert asked == []
    for kept in KEPT:
        with pytest.raises(InputError, match=r"the download from http.* failed"):
            open_data(kept.name, folder=tmp_path, download=True)
    assert asked == [CIFAR10, CIFAR100, LabelledSTL10]


def test_a_download_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(
        CIFAR10, "download", lambda self: written.append(write_cifar(tmp_path, monkeypatch))
    )
    data = open_data("cifar10", folder=tmp_path, download=True)
    assert np.array_equal(pixels(data.train), written[0][0][:90])


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), ConnectionResetError("reset by peer")]
)
def test_a_failed_download_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr(CIFAR10, "download", fail)
    with pytest.raises(InputError, match=r"download from https://.* failed \(.*(no route|reset)"):
        open_data("cifar10", folder=tmp_path, download=True)


def test_a_damaged_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        (tmp_path / CIFAR10.base_folder).mkdir()
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(CIFAR10, "download", fail)
    with pytest.raises(InputError, match="missing: data_batch_1, data_batch_2"):
        open_data("cifar10", folder=tmp_path, download=True)
