"""asr_core.data.open and image_set: a set by name or folder."""

from pathlib import Path

import pytest
import torch
from data_files import write_class_folders

from asr_core.data import DATASETS, ImageSet, MemorySplit, open_data
from asr_core.errors import InputError


def split(*labels: int) -> MemorySplit:
    images = torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8)
    return MemorySplit(images, torch.tensor(labels))


def image_set(train: MemorySplit, validation: MemorySplit, test: MemorySplit) -> ImageSet:
    third = (1 / 3, 1 / 3, 1 / 3)
    return ImageSet("tiny", ("a", "b", "c"), 4, third, third, train, validation, test)


def test_the_names() -> None:
    known = {
        "embedded", "embedded-quarters", "cifar10", "cifar100", "stl10", "imagenet", "folder",
        "shapes", "shapes-96",
    }  # fmt: skip
    assert set(DATASETS.names()) == known


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'cifar'\. Did you mean 'cifar10'.*stl10.*; nor is it"):
        open_data("cifar")


def test_a_folder_needs_no_other(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    assert open_data(str(tmp_path)).classes == ("n01", "n02")
    with pytest.raises(InputError, match="is a folder itself; leave out the folder other"):
        open_data(str(tmp_path), folder=Path("other"))


def test_a_name_comes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path / "embedded")
    monkeypatch.chdir(tmp_path)
    assert open_data("embedded").num_classes == 18
    assert open_data("./embedded").num_classes == 2


def test_splits_move_together() -> None:
    here = image_set(split(0, 1, 2), split(0), split(1))
    there = here.to("meta")
    for name in ("train", "validation", "test"):
        assert getattr(there, name).device.type == "meta"
        assert getattr(here, name).device.type == "cpu"
    assert (there.name, there.classes, there.num_classes) == (here.name, here.classes, 3)


@pytest.mark.parametrize("bad", ["train", "validation", "test"])
def test_a_label_without_a_class_is_named(bad: str) -> None:
    splits = {name: split(0, 1, 2) for name in ("train", "validation", "test")}
    splits[bad] = split(0, 1, 3, 2)
    with pytest.raises(
        InputError, match=f"tiny: label 3 of {bad} image 2 .* there are 3 classes, 0 to 2"
    ):
        image_set(**splits)
