"""asr_core.data.shapes.open: drawn once, checked, and read from the cache."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_core.data import MemorySplit, open_data
from asr_core.data.shapes import open as module
from asr_core.data.shapes.open import SETS, Shapes, digest, drawn
from asr_core.data.source import Source
from asr_core.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """A set of 200 + 100 pictures."""
    parts = {name: (count // 100, names[:2]) for name, (count, names) in module.PARTS.items()}
    monkeypatch.setattr(module, "PARTS", parts)
    return replace(SETS[0], digest=digest(drawn(32)))


def split(images: MemorySplit) -> np.ndarray:
    return images.images.numpy()


def test_the_set_is_the_one_that_is_known() -> None:
    """The whole of it: 18,000, 2,000 and 10,000 pictures, 25 classes alike in number."""
    data = open_data("shapes")
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 18_000, "validation": 2_000, "test": 10_000,
    }  # fmt: skip
    for part in parts.values():
        assert set(part.labels.bincount().tolist()) == {len(part) // 25}
    pixels = torch.cat([data.train.images, data.validation.images]).double() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(data.mean).double(), atol=6e-5)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor(data.std).double(), atol=6e-5)


@pytest.mark.slow
def test_the_large_set_is_the_one_that_is_known() -> None:
    data = open_data("shapes-96")
    assert data.train.images.shape == (18_000, 3, 96, 96)
    images = data.train.images
    assert torch.allclose(
        torch.stack([images[:, c].double().mean() / 255 for c in range(3)]),
        torch.tensor(data.mean).double(),
        atol=1e-3,
    )


def test_it_is_drawn_once(small: Shapes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small.open(Source())
    (file,) = cache.iterdir()
    assert file.name == f"shapes-{small.digest[:12]}.npy"
    monkeypatch.setattr(module, "drawn", lambda size: pytest.fail("drawn again"))
    again = small.open(Source())
    for name in ("train", "validation", "test"):
        one, other = getattr(first, name), getattr(again, name)
        assert np.array_equal(split(one), split(other))
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("damage", ["cut", "flipped", "pickle", "other"])
def test_a_damaged_file_is_drawn_again(small: Shapes, cache: Path, damage: str) -> None:
    whole = split(small.open(Source()).test)
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[:-1000])
    elif damage == "flipped":
        content[-1000] ^= 1
        file.write_bytes(content)
    elif damage == "pickle":
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(file, np.zeros((3, 3, 32, 32), np.uint8))
    assert np.array_equal(split(small.open(Source()).test), whole)
    assert digest(np.load(file)) == small.digest, "and kept"


def test_other_pictures_are_refused(small: Shapes, cache: Path) -> None:
    with pytest.raises(InputError, match=f"not {'0' * 12}") as raised:
        replace(small, digest="0" * 64).open(Source())
    assert small.digest[:12] in str(raised.value)
    assert not cache.exists(), "nothing wrong is kept"


def test_without_a_cache_it_is_drawn_with_a_warning(small: Shapes, cache: Path) -> None:
    cache.touch()  # a file where the folder would be
    with pytest.warns(UserWarning, match="drawn each time"):
        data = small.open(Source())
    assert len(data.test) == 100


def test_training_pictures_are_mirrored_at_the_edge(small: Shapes) -> None:
    """No black: moved pictures keep the pixels' statistics."""
    train = small.open(Source()).train
    assert (train.padding, train.border, train.flip) == (4, "reflect", True)
    assert small.open(Source()).train.images.shape[0] == 175


@pytest.mark.parametrize(
    ("source", "value"),
    [(Source(image_size=64), "64"), (Source(folder=Path("pictures")), "pictures")],
)
def test_what_it_does_not_take(small: Shapes, source: Source, value: str) -> None:
    with pytest.raises(InputError, match=value):
        small.open(source)
