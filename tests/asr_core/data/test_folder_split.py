"""asr_core.data.folder.split: files decoded in parallel, the same for any number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import write_class_folders
from torch import Tensor

from asr_core.data import FolderSplit, order
from asr_core.data.folder.decode import Sample, square
from asr_core.data.folder.split import unreadable
from asr_core.errors import InputError


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=5)
    return sorted(map(str, tmp_path.rglob("*.JPEG")))


def split(files: list[str], **options: int | None) -> FolderSplit:
    return FolderSplit(files, torch.arange(10), **{"image_size": 24, "workers": 0, **options})


def epoch(data: FolderSplit, **options: int) -> list[Tensor]:
    batches = order.train_batches(data, batch_size=4, seed=0, epoch=1, **options)
    return [images for images, _ in batches]


def test_a_batch_is_the_decoded_squares(files: list[str]) -> None:
    data, indices = split(files), torch.tensor([7, 2])
    batch = data.test_batch(indices)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    for image, index in zip(batch, indices.tolist(), strict=True):
        pixels = square(Sample(files[index]), 24)
        assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), pixels)
    draws = torch.randint(1 << 62, (2,), generator=torch.Generator().manual_seed(3))
    (augmented,) = data.train_stream([(indices, draws)])
    for image, index, draw in zip(augmented, indices.tolist(), draws.tolist(), strict=True):
        pixels = square(Sample(files[index], draw), 24)
        assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), pixels)
    assert 0 <= augmented.min() < augmented.max() <= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(files: list[str], workers: int) -> None:
    alone, parallel = split(files), split(files, workers=workers)
    assert len(epoch(alone)) == 2
    assert all(map(torch.equal, epoch(alone), epoch(parallel)))
    tests = [
        [images for images, _, _ in order.test_batches(data, batch_size=3)]
        for data in (alone, parallel)
    ]
    assert [len(images) for images in tests[1]] == [3, 3, 3, 1]
    assert all(map(torch.equal, *tests))


def test_an_epoch_can_be_entered_and_shared(files: list[str]) -> None:
    data = split(files)
    whole = epoch(data)
    assert torch.equal(epoch(data, start=1)[0], whole[1])
    halves = zip(epoch(data, world=2), epoch(data, rank=1, world=2), strict=True)
    for both, (left, right) in zip(whole, halves, strict=True):
        assert torch.equal(both, torch.cat([left, right]))


def test_epochs_are_cropped_anew(files: list[str]) -> None:
    data = FolderSplit(files[:1], torch.zeros(1, dtype=torch.int64), image_size=24, workers=0)
    (first, _), (second, _) = (
        next(order.train_batches(data, batch_size=1, seed=0, epoch=epoch)) for epoch in (0, 1)
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_stops_with_its_name(files: list[str], workers: int) -> None:
    Path(files[3]).write_bytes(Path(files[3]).read_bytes()[:700])
    data = split(files, workers=workers)
    good = order.test_batches(data, batch_size=3)
    assert len(next(good)[0]) == 3
    with pytest.raises(InputError, match=r"a_3\.JPEG: unreadable image \(.*truncated") as caught:
        next(good)
    assert 'on_unreadable="skip"' in str(caught.value)
    assert "\n" not in str(caught.value), "no traceback of a worker's"
    with pytest.raises(InputError, match=r"a_3\.JPEG: unreadable"):
        next(data.train_stream([(torch.tensor([3]), torch.tensor([0]))]))


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_files_are_found(files: list[str], workers: int) -> None:
    many = files * 20
    assert unreadable(many, workers=workers) == []
    Path(files[0]).write_bytes(b"")
    Path(files[9]).unlink()
    found = unreadable(many, workers=workers)
    assert [path for path, _ in found] == [Path(files[0]), Path(files[9])] * 20
    assert "empty" in found[0][1]
    assert "no such file" in found[1][1]


def test_what_is_no_split_is_refused(files: list[str]) -> None:
    with pytest.raises(InputError, match="9 files have 10 labels"):
        split(files[:9])
    with pytest.raises(InputError, match="image size is 0"):
        split(files, image_size=0)
    with pytest.raises(InputError, match="workers is -2"):
        split(files, workers=-2)
    with pytest.raises(InputError, match="no images in the split"):
        FolderSplit([], torch.zeros(0, dtype=torch.int64))
