"""asr_core.data.folder.layouts and class_files: ImageNet's and others; what is wrong is named."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from data_files import write_class_folders, write_imagenet
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from asr_core.data import FolderSplit, ImageSet, open_data, order
from asr_core.data.folder.class_files import read_classes
from asr_core.data.folder.layouts import IMAGENET_VALIDATION_FRACTION
from asr_core.data.stratify import cut
from asr_core.errors import InputError


def names(split: object) -> list[str]:
    assert isinstance(split, FolderSplit)
    return [Path(path).name for path in split.paths]


def imagenet(folder: Path, **options: object) -> ImageSet:
    return open_data("imagenet", folder=folder, workers=0, **options)  # type: ignore[arg-type]


def test_imagenet(tmp_path: Path) -> None:
    write_imagenet(tmp_path, classes=("n03", "n01", "n02"), per_class=5)
    data = imagenet(tmp_path)
    assert data.classes == ("n01", "n02", "n03")
    assert (data.image_size, data.name) == (224, "imagenet")
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 3, 15)
    for split, place in ((data.train, "train"), (data.validation, "train"), (data.test, "val")):
        assert isinstance(split, FolderSplit)
        for path, label in zip(split.paths, split.labels.tolist(), strict=True):
            assert Path(path).parent == tmp_path / place / data.classes[label]
    assert set(names(data.train)).isdisjoint(names(data.validation))
    images, labels = next(order.train_batches(data.train, batch_size=4, seed=0, epoch=0))
    assert images.shape == (4, 3, 224, 224)
    assert set(labels.tolist()) <= {0, 1, 2}


def test_a_validation_split_of_imagenet_is_about_50_images_a_class() -> None:
    _, taken = cut(torch.arange(3).repeat_interleave(1300), IMAGENET_VALIDATION_FRACTION)
    assert len(taken) == 3 * 52


def test_a_recipe_chooses_the_size(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    data = imagenet(tmp_path, image_size=40)
    assert data.image_size == 40
    assert data.test.test_batch(torch.arange(2)).shape == (2, 3, 40, 40)


@pytest.mark.parametrize("other", ["test", "val"])
def test_a_folder_with_train_and_one_other(tmp_path: Path, other: str) -> None:
    write_class_folders(tmp_path / "train", per_class=10)
    write_class_folders(tmp_path / other, per_class=3, seed=1)
    data = open_data(str(tmp_path), workers=0)
    assert data.name == "folder"
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 6)
    assert all(other in path for path in data.test.paths)  # type: ignore[attr-defined]


def test_a_folder_with_all_three(tmp_path: Path) -> None:
    for place, count in (("train", 4), ("val", 3), ("test", 2)):
        write_class_folders(tmp_path / place, per_class=count)
    data = open_data("folder", folder=tmp_path, workers=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 6, 4)
    assert all("/val/" in path for path in data.validation.paths)  # type: ignore[attr-defined]


def test_a_folder_of_classes_is_split(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("cat", "dog"), per_class=10)
    data = open_data(str(tmp_path), workers=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 2, 4)
    everything = names(data.train) + names(data.validation) + names(data.test)
    assert len(set(everything)) == len(everything) == 20
    again = open_data(str(tmp_path), workers=0)
    assert names(again.test) == names(data.test)


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path) -> None:
    write_imagenet(tmp_path, per_class=2)
    (tmp_path / "train" / ".git").mkdir()
    (tmp_path / "train" / "LICENSE.txt").write_text("text")
    (tmp_path / "train" / "n01" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / "n01" / "._n01_0.JPEG").write_bytes(b"x")
    data = imagenet(tmp_path)
    assert data.classes == ("n01", "n02")
    assert len(data.train) + len(data.validation) == 4


# --- unreadable files -----------------------------------------------------------------------------


def spoiled(folder: Path) -> Path:
    write_imagenet(folder, per_class=6)
    (folder / "train" / "n02" / "n02_1.JPEG").write_bytes(b"")
    bad = folder / "val" / "n01" / "n01_3.JPEG"
    bad.write_bytes(bad.read_bytes()[:800])
    return folder


def test_an_unreadable_file_stops_by_default(tmp_path: Path) -> None:
    data = imagenet(spoiled(tmp_path), image_size=16)
    assert data.unreadable == ()
    with pytest.raises(InputError, match=r"n01_3\.JPEG: unreadable image"):
        list(order.test_batches(data.test, batch_size=12))


def test_unreadable_files_are_skipped_counted_and_named(tmp_path: Path) -> None:
    folder = spoiled(tmp_path)
    with pytest.warns(UserWarning, match="2 of 24 files are unreadable and left out: ") as caught:
        data = imagenet(folder, image_size=16, on_unreadable="skip")
    text = str(caught[0].message)
    assert "n02_1.JPEG (is empty" in text
    assert "n01_3.JPEG (is damaged or cut short (image file is truncated" in text
    assert [path.name for path, _ in data.unreadable] == ["n02_1.JPEG", "n01_3.JPEG"]
    assert len(data.train) + len(data.validation) == 11
    assert len(data.test) == 11
    assert "n01_3.JPEG" not in names(data.test)
    assert sum(len(labels) for _, labels, _ in order.test_batches(data.test, batch_size=4)) == 11
    for images, _ in order.train_batches(data.train, batch_size=3, seed=0, epoch=0):
        assert images.shape == (3, 3, 16, 16)
    with_all = imagenet(folder)
    for path, label in zip(data.test.paths, data.test.labels, strict=True):  # type: ignore[attr-defined]
        index = with_all.test.paths.index(path)  # type: ignore[attr-defined]
        assert with_all.test.labels[index] == label


def test_many_unreadable_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_imagenet(tmp_path, per_class=12)
    for number in range(9):
        (tmp_path / "train" / "n01" / f"n01_{number}.JPEG").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"9 of 48 .* and 4 more$"):
        assert len(imagenet(tmp_path, on_unreadable="skip").unreadable) == 9


def test_nothing_is_said_where_all_can_be_read(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert imagenet(tmp_path, on_unreadable="skip").unreadable == ()


def test_a_test_set_without_a_readable_file_is_refused(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    for path in (tmp_path / "val").rglob("*.JPEG"):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="8 of 16"),
        pytest.raises(InputError, match="none is left for test"),
    ):
        imagenet(tmp_path, on_unreadable="skip")


def test_other_ways_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"on_unreadable 'ignore'.*Known: stop, skip"):
        imagenet(tmp_path, on_unreadable="ignore")


# --- other layouts --------------------------------------------------------------------------------


def test_missing_parts_are_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"imagenet needs a folder.*DIR/train/n01440764/\*\.JPEG"):
        open_data("imagenet")
    with pytest.raises(InputError, match=r"gone: no such folder\. Expected: DIR/train/n0"):
        imagenet(tmp_path / "gone")
    write_class_folders(tmp_path / "train")
    with pytest.raises(InputError, match=r"there is no val/ in it\. Expected: DIR/train/n0.*regis"):
        imagenet(tmp_path)
    with pytest.raises(InputError, match=r"has train/, but neither test/ nor val/\. Expected: DIR"):
        open_data(str(tmp_path))
    with pytest.raises(InputError, match="folder needs a folder"):
        open_data("folder")


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    for path in (tmp_path / "val").glob("*/*.JPEG"):
        path.rename(tmp_path / "val" / path.name)
    for folder in ("n01", "n02"):
        (tmp_path / "val" / folder).rmdir()
    with pytest.raises(InputError, match="val: 0 class folders; there must be at least two"):
        imagenet(tmp_path)


def test_a_folder_above_the_right_one_is_refused(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "ILSVRC")
    with pytest.raises(InputError, match=r"1 class folders \(ILSVRC\); there must be at least"):
        open_data(str(tmp_path))


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    for number in range(10, 17):
        (tmp_path / "train" / f"n{number}").mkdir()
    with pytest.raises(
        InputError, match=r"train: no images in the class folders n10, n11.*n14 and 2 more.*\.jpeg"
    ):
        imagenet(tmp_path)


def test_parts_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", classes=("a", "b", "c"))
    write_class_folders(tmp_path / "val", classes=("a", "b", "d"))
    with pytest.raises(InputError, match=r"val: its classes are not.*missing c; unknown d"):
        imagenet(tmp_path)


def test_one_image_a_class_leaves_none_for_validation(tmp_path: Path) -> None:
    write_imagenet(tmp_path, per_class=1)
    with pytest.raises(InputError, match="too few images: none is left for validation"):
        imagenet(tmp_path)


# --- links and names ------------------------------------------------------------------------------


def test_a_link_that_loops_gives_no_image_twice(tmp_path: Path) -> None:
    """Followed, it made ten images several hundred, most of them of wrong classes."""
    write_class_folders(tmp_path, per_class=10)
    (tmp_path / "n01" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "n02" / "n02_0 again.JPEG").symlink_to("n02_0.JPEG")
    (tmp_path / "n03").symlink_to("n01", target_is_directory=True)
    with pytest.warns(UserWarning, match="3 links or special files are left out: ") as caught:
        data = open_data(str(tmp_path), workers=0)
    assert data.classes == ("n01", "n02")
    everything = [names(split) for split in (data.train, data.validation, data.test)]
    assert len({name for part in everything for name in part}) == sum(map(len, everything)) == 20
    for split in (data.train, data.validation, data.test):
        for name, label in zip(names(split), split.labels.tolist(), strict=True):
            assert name.startswith(data.classes[label])
    told = [path.name for path, _ in data.unreadable]
    assert sorted(told) == ["loop", "n02_0 again.JPEG", "n03"]
    assert all(name in str(caught[0].message) for name in told)


def test_classes_that_are_links_are_named_in_the_error(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    for name in ("n01", "n02"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(InputError, match=r"0 class folders.*left out: .*set/n0\d \(is a link"):
        open_data(str(tmp_path / "set"))
    for name in ("n01", "n02"):
        (tmp_path / "set" / name).unlink()
        (tmp_path / "set" / name).mkdir()
        (tmp_path / "set" / name / "x.png").symlink_to(tmp_path / "elsewhere/n01/n01_0.JPEG")
    with pytest.raises(InputError, match=r"no images in the class folders n01, n02.*x\.png"):
        open_data(str(tmp_path / "set"))


def test_a_folder_given_as_a_link_and_its_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_class_folders(tmp_path / "disk" / part, per_class=10)
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / part).symlink_to(tmp_path / "disk" / part)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = open_data(str(tmp_path / "set"), workers=0)
    assert len(data.test) == 20


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path: Path) -> None:
    write_class_folders(tmp_path, per_class=10)
    os.mkfifo(tmp_path / "n01" / "pipe.png")
    with pytest.warns(UserWarning, match=r"pipe\.png \(is not a regular file\)"):
        data = open_data(str(tmp_path), workers=0)
    assert sum(map(len, (data.train, data.validation, data.test))) == 20


def test_nested_files_come_in_torchvisions_order(tmp_path: Path) -> None:
    """The order decides the split, which is to stay what it was."""
    write_class_folders(tmp_path, per_class=3)
    for place in ("b", "b/c", "a-b", "a"):
        (tmp_path / "n01" / place).mkdir(exist_ok=True)
        for name in ("z.png", "Y.png", "n01_1.png"):
            (tmp_path / "n01" / place / name).write_bytes(b"x")
    wanted = make_dataset(tmp_path, {"n01": 0, "n02": 1}, extensions=IMG_EXTENSIONS)
    found = read_classes(tmp_path)
    assert list(zip(found.paths, found.labels.tolist(), strict=True)) == wanted


def test_names_of_classes_and_files_may_be_anything(tmp_path: Path) -> None:
    odd = (os.fsdecode(b"caf\xe9"), "=1+1|\n\x1b[31m", "$\\foo$")
    write_class_folders(tmp_path, classes=odd, per_class=10)
    for workers in (0, 1):
        data = open_data(str(tmp_path), image_size=8, workers=workers)
        assert data.classes == tuple(sorted(odd)), "data keep the name"
        assert sum(len(x) for x, _, _ in order.test_batches(data.test, batch_size=4)) == 6
