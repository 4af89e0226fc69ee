"""asr_core.data.embedded: patches of 18 pictures, no pixel in two splits."""

import functools
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from asr_core.data import ImageSet, open_data
from asr_core.data.augment import crop_and_flip
from asr_core.data.embedded import CLASSES, PATCHES, REGIONS, corners, patches
from asr_core.data.photographs import pixels
from asr_core.data.split import sample_draws
from asr_core.errors import InputError
from asr_core.training import DataFacts

# The list of what ships with scikit-image, the two views of one scene counting once and
# without the colour wheel, which is neither a photograph nor a texture.
PICTURES = {
    "astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "hubble_deep_field", "retina",
    "immunohistochemistry", "camera", "brick", "grass", "gravel", "moon", "coins", "cell", "page",
    "text", "clock",
}  # fmt: skip


@pytest.fixture(scope="module")
def embedded() -> ImageSet:
    return open_data("embedded")


@functools.cache
def shape(name: str) -> tuple[int, int]:
    """Height and width of a picture."""
    _, height, width = pixels(name).shape
    return height, width


def painted(name: str) -> Tensor:
    """A picture of that size whose pixels spell their own place, in base 256."""
    height, width = shape(name)
    place = torch.arange(height * width).reshape(height, width)
    return torch.stack([place // 65536, place // 256 % 256, place % 256]).to(torch.uint8)


def places(split: str, name: str) -> Tensor:
    """What a split's patches of a painted picture were cut from: (n, 32, 32)."""
    digits = patches(split, [painted(name)]).images.long()
    return digits[:, 0] * 65536 + digits[:, 1] * 256 + digits[:, 2]


@pytest.mark.parametrize("name", CLASSES)
def test_no_pixel_is_in_two_splits(name: str) -> None:
    height, width = shape(name)
    used = {split: set(places(split, name).flatten().tolist()) for split in REGIONS}
    assert used["train"].isdisjoint(used["validation"])
    assert used["train"].isdisjoint(used["test"])
    assert used["validation"].isdisjoint(used["test"])
    columns = {split: {place % width for place in used[split]} for split in used}
    assert max(columns["train"] | columns["validation"]) < round(0.6 * width), "the left 60 %"
    assert min(columns["test"]) >= round(0.65 * width), "the right 35 %"
    for split, part in REGIONS.items():
        area = (part[1] - part[0]) * height * width
        reach = min(0.8, 0.5 * PATCHES[split] * 32 * 32 / area)
        assert len(used[split]) > reach * area, "spread over the region"


@pytest.mark.parametrize("split", REGIONS)
def test_patches_are_windows_of_the_picture_no_two_alike(split: str) -> None:
    for name in CLASSES:
        cut, width = places(split, name), shape(name)[1]
        steps = torch.arange(32)[:, None] * width + torch.arange(32)
        assert torch.equal(cut, cut[:, :1, :1] + steps)
        assert len(cut[:, 0, 0].unique()) == PATCHES[split]


def test_a_patch_by_hand(embedded: ImageSet) -> None:
    """R2 from its definition: its first point is 1/2 + (0.7548776662, 0.5698402910), less 1.

    In astronaut's left half, 512 × 256, there are 481 × 225 places.
    """
    row, column = int(0.2548776662 * 481), int(0.0698402910 * 225)
    assert corners("train", 512, 512)[0].tolist() == [row, column] == [122, 15]
    patch = data.astronaut()[122:154, 15:47].transpose(2, 0, 1)
    assert CLASSES[0] == "astronaut"
    assert np.array_equal(embedded.train.images[0].numpy(), patch)  # type: ignore[attr-defined]


def test_the_classes_are_the_pictures(embedded: ImageSet) -> None:
    assert set(CLASSES) == PICTURES
    assert embedded.classes == CLASSES
    assert embedded.num_classes == 18
    for split, count in (("train", 7200), ("validation", 900), ("test", 1800)):
        part = getattr(embedded, split)
        assert len(part) == count
        assert part.labels.bincount().tolist() == [count // 18] * 18
        assert part.images.shape == (count, 3, 32, 32)


def test_a_label_is_the_picture_that_holds_the_patch(embedded: ImageSet) -> None:
    for index in range(0, 1800, 97):
        picture = pixels(CLASSES[int(embedded.test.labels[index])])
        patch = embedded.test.images[index]  # type: ignore[attr-defined]
        windows = picture[0].unfold(0, 32, 32).unfold(1, 32, 1)
        assert windows.shape[-2:] == (32, 32)
        row, column = corners("test", *picture.shape[1:])[index % 100].tolist()
        assert torch.equal(picture[:, row : row + 32, column : column + 32], patch)


def test_quarters_are_the_same_patches_under_finer_labels(embedded: ImageSet) -> None:
    """A painted picture's first pixel tells the row, the row the quarter; astronaut has 512."""
    found = open_data("embedded-quarters")
    assert found.num_classes == len(found.classes) == len(set(found.classes)) == 72
    assert found.classes[:5] == (
        "astronaut-1", "astronaut-2", "astronaut-3", "astronaut-4", "brick-1",
    )  # fmt: skip
    for split in REGIONS:
        coarse, fine = getattr(embedded, split), getattr(found, split)
        assert torch.equal(fine.images, coarse.images)
        assert torch.equal(fine.labels // 4, coarse.labels)
        assert fine.labels.bincount(minlength=72).min() >= 10, "no class is empty"
        for number, name in enumerate(CLASSES):
            height, width = shape(name)
            middles = places(split, name)[:, 16, 0].double() / width  # rows, a fraction in
            within = fine.labels[coarse.labels == number] % 4
            assert torch.equal(within, (middles.floor() / height * 4).long())


def test_mean_and_std_are_those_of_the_training_patches(embedded: ImageSet) -> None:
    values = embedded.train.images.numpy() / 255  # type: ignore[attr-defined]
    assert np.allclose(values.mean((0, 2, 3)), embedded.mean, atol=5e-5)
    assert np.allclose(values.std((0, 2, 3)), embedded.std, atol=5e-5)


def test_it_is_fixed_and_asks_no_network(
    embedded: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    torch.manual_seed(7)
    again = open_data("embedded", image_size=32, download=True)
    for split in REGIONS:
        assert torch.equal(getattr(embedded, split).images, getattr(again, split).images)


def test_other_sizes_and_folders_are_refused() -> None:
    with pytest.raises(InputError, match="embedded has images of 32×32 pixels, not 64"):
        open_data("embedded", image_size=64)
    with pytest.raises(InputError, match="leave out some"):
        open_data("embedded", folder=Path("some"))
    with pytest.raises(InputError, match="embedded-quarters needs no folder"):
        open_data("embedded-quarters", folder=Path("some"))


@pytest.mark.parametrize("name", ["embedded", "embedded-quarters"])
def test_training_batches_have_no_pixels_that_test_batches_lack(name: str) -> None:
    """Black borders moved batch statistics far from those of test images."""
    data = open_data(name)
    indices = torch.arange(0, len(data.train), 30)
    draws = sample_draws(len(indices), torch.Generator().manual_seed(0))
    (moved,) = data.train.train_stream([(indices, draws)])
    still = data.train.test_batch(indices)
    assert not torch.equal(moved, still)
    black = [(images == 0).all(1).float().mean().item() for images in (moved, still)]
    assert black[0] <= black[1] + 0.005
    padded = crop_and_flip(still, draws, padding=4, flip=True)
    assert (padded == 0).all(1).float().mean() > black[1] + 0.05, "the test would see them"
    assert DataFacts.of(data).border == "reflect"
    assert {split: getattr(data, split).border for split in REGIONS} == dict.fromkeys(
        REGIONS, "reflect"
    )
