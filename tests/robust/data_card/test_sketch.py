"""robust.data_card.sketch: duplicates that were planted are found, and no others."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asr_core.data import MemorySplit
from robust.data_card import sketch as module
from robust.data_card.sketch import difference_hash, duplicates, sketch


def pictures(n: int, seed: int, side: int = 32) -> Tensor:
    """Smooth random pictures, uint8 (n, 3, side, side)."""
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (255 * F.interpolate(coarse, size=side, mode="bilinear")).byte()


def part(images: Tensor) -> MemorySplit:
    return MemorySplit(images, torch.arange(len(images)) % 3)


@pytest.mark.parametrize("side", [20, 32, 70])
def test_planted_duplicates_are_found(side: int) -> None:
    train, test = pictures(700, 1, side), pictures(600, 2, side)
    test[5], test[550] = train[3], train[690]
    noisy = train[10].int() + torch.randint(-6, 7, train[10].shape)
    test[20] = noisy.clamp(0, 255).byte()
    test[21] = (train[11].float() * 0.97).byte()
    one, other = sketch(part(test)), sketch(part(train))
    assert duplicates(one, other) == (2, 2)
    assert duplicates(other, one) == (2, 2)
    assert duplicates(one, sketch(part(pictures(700, 3, side)))) == (0, 0)


def test_flat_pictures_of_other_colours_are_no_duplicates() -> None:
    """Their difference hashes are equal: the pixels decide."""
    flat = torch.tensor([20, 90, 200], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 8, 8)
    one, other = sketch(part(flat[:1])), sketch(part(flat[1:]))
    assert torch.equal(one.hashes[0], other.hashes[0])
    assert duplicates(one, other) == (0, 0)


def test_the_hash_tells_which_neighbour_is_brighter() -> None:
    ramp = torch.linspace(0, 1, 36).expand(1, 3, 32, 36)
    assert difference_hash(ramp).tolist() == [[1.0] * 64]
    assert difference_hash(ramp.flip(-1)).tolist() == [[-1.0] * 64]


def test_of_large_parts_evenly_spaced_images_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    seen = sketch(part(images.contiguous()))
    assert (seen.small[:, 0, 0, 0] * 255).round().tolist() == list(range(0, 100, 10))
    assert seen.labels.tolist() == [n % 3 for n in range(0, 100, 10)]
    assert seen.features.shape == (10, 7)
