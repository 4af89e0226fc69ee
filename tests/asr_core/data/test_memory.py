"""asr_core.data.memory and asr_core.data.split: whole sets as uint8 tensors."""

import pytest
import torch
from torch import Tensor

from asr_core.data import MemorySplit
from asr_core.data.split import sample_draws
from asr_core.errors import InputError


def images(count: int = 6) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=random)


def split(**options: object) -> MemorySplit:
    return MemorySplit(images(), torch.arange(6), **options)  # type: ignore[arg-type]


def augmented(data: MemorySplit, indices: Tensor, seed: int = 0) -> Tensor:
    draws = sample_draws(len(indices), torch.Generator().manual_seed(seed))
    return next(data.train_stream([(indices, draws)]))


def test_a_test_batch_is_the_images_in_the_unit_interval() -> None:
    batch = split().test_batch(torch.tensor([4, 0, 4]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, torch.stack([images()[i].float() / 255 for i in (4, 0, 4)]))
    assert batch.is_contiguous()


def test_a_training_batch_comes_from_its_draws_alone() -> None:
    state = torch.get_rng_state()
    indices = torch.arange(6)
    first = augmented(split(), indices, 5)
    again = augmented(split(), indices, 5)
    other = augmented(split(), indices, 6)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, split().test_batch(indices))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 1


def test_a_training_batch_without_augmentation_is_a_test_batch() -> None:
    plain, indices = split(padding=0, flip=False), torch.tensor([5, 1])
    assert torch.equal(augmented(plain, indices), plain.test_batch(indices))


def test_memory_is_left_as_it_was() -> None:
    given = images()
    held = MemorySplit(given, torch.arange(6))
    augmented(held, torch.arange(6))
    held.test_batch(torch.arange(6)).zero_()
    assert torch.equal(given, images())


def test_moving_gives_another_split() -> None:
    here = split()
    there = here.to("meta")
    assert there.device == torch.device("meta")
    assert there.images.device == torch.device("meta")
    assert augmented(there, torch.arange(2)).device.type == "meta"
    assert here.device == here.images.device == torch.device("cpu")
    assert there.labels.device == torch.device("cpu")
    assert len(there) == 6


@pytest.mark.parametrize(
    ("given", "labels", "message"),
    [
        (images().float(), torch.arange(6), r"uint8 \(N, 3, H, W\), got torch.float32"),
        (images()[:, :1], torch.arange(6), r"got torch.uint8 \(6, 1, 8, 8\)"),
        (images(), torch.arange(5), "6 images have 5 labels"),
        (images(), torch.arange(6.0), r"labels must be int64 \(N,\), got torch.float32"),
        (images(), torch.arange(6)[:, None], r"got torch.int64 \(6, 1\)"),
        (images(), torch.arange(6) - 2, "label -2 of image 0 is negative"),
        (images(0), torch.arange(0), "no images in the split"),
    ],
)
def test_what_is_no_split_is_refused(given: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MemorySplit(given, labels)


def test_a_negative_padding_is_refused() -> None:
    with pytest.raises(InputError, match="padding -1 is below 0"):
        split(padding=-1)


def test_the_border_of_moved_images_is_black_or_mirrored() -> None:
    indices = torch.arange(6).repeat(20)
    bright = MemorySplit(images().clamp(min=1), torch.arange(6))
    mirrored = MemorySplit(images().clamp(min=1), torch.arange(6), border="reflect")
    assert (bright.border, mirrored.border) == ("black", "reflect")
    assert (augmented(bright, indices) == 0).any()
    assert (augmented(mirrored, indices) > 0).all()
    with pytest.raises(InputError, match="padding 8 cannot mirror images of 8"):
        split(padding=8, border="reflect")
