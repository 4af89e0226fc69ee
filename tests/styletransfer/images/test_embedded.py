"""styletransfer.images.embedded: what trains never tests, and nothing is downloaded."""

import socket
from pathlib import Path

import foolbox
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from asr_core.errors import InputError
from styletransfer.images.embedded import (
    HELD_OUT,
    NATURAL,
    SEEN,
    TEXTURED,
    TRAINING,
    VALIDATION,
    held_out,
    photograph,
    pool,
    training_photographs,
    validation,
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    photograph.cache_clear()


@pytest.mark.usefixtures("no_network")
def test_every_photograph_is_at_hand() -> None:
    for name in [*TRAINING, "astronaut", "chelsea", "coffee"]:
        image = photograph(name)
        assert image.ndim == 3
        assert image.shape[0] == 3
        assert min(image.shape[1:]) >= 170
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert 0.5 < image.max() <= 1, f"{name} is scaled to [0, 1]"
        assert image.std() > 0.02


def test_photographs_are_scikit_images() -> None:
    assert np.array_equal(
        (photograph("astronaut") * 255).round().byte().permute(1, 2, 0).numpy(), data.astronaut()
    )
    left, right, _ = data.stereo_motorcycle()
    for name, pixels in (("motorcycle_left", left), ("motorcycle_right", right)):
        found = (photograph(name) * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(found, pixels)


def test_grey_photographs_repeat_their_channel() -> None:
    red, green, blue = photograph("camera")
    assert torch.equal(red, green)
    assert torch.equal(red, blue)
    assert np.array_equal((red * 255).round().byte().numpy(), data.camera())


def test_what_trains_never_tests() -> None:
    assert len(set(TRAINING)) == len(TRAINING) == 15
    assert len(set(HELD_OUT) - set(SEEN)) == 12
    pictures = [*(held_out(name, size=32) for name in HELD_OUT), *validation(size=32)]
    pictures += pool(size=32)[1]
    flat = torch.stack(pictures).flatten(1)
    distances = torch.cdist(flat, flat) + 99 * torch.eye(len(flat))
    rows = len(HELD_OUT) + len(VALIDATION)
    assert distances[:rows].min() > 2, "38 different pictures, the two motorcycles apart"


def test_choices_are_made_on_foolbox_photographs() -> None:
    folder = Path(foolbox.__file__).parent / "data"
    files = sorted(folder.glob("imagenet_*.jpg"))
    assert len(files) == 20
    given = [*validation(size=512), *(held_out(name, size=512) for name in HELD_OUT[3:])]
    for path, image in zip(files, given, strict=True):
        theirs = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy())
        if theirs.shape[0] == theirs.shape[1]:  # all but one
            assert torch.equal(image, theirs.permute(2, 0, 1).float() / 255), path.name


def test_natural_scenes_train_three_times_as_often() -> None:
    names = {photograph(name).data_ptr(): name for name in TRAINING}
    given = [names[image.data_ptr()] for image in training_photographs()]
    assert {name: given.count(name) for name in TRAINING} == {
        **dict.fromkeys(NATURAL, 3), **dict.fromkeys(TEXTURED, 1)
    }  # fmt: skip


@pytest.mark.parametrize("name", HELD_OUT)
def test_held_out_pictures_are_square_crops(name: str) -> None:
    image = held_out(name, size=64)
    assert image.shape == (3, 64, 64)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.1
    assert torch.equal(image, held_out(name, size=64))


def test_a_held_out_picture_by_hand() -> None:
    """astronaut is square: the whole of it, at half its size, is the mean of 2 x 2 pixels."""
    image = held_out("astronaut", size=256)
    means = torch.nn.functional.avg_pool2d(photograph("astronaut"), 2)
    assert (image - means).abs().mean() < 0.01


def test_the_pool_is_the_training_photographs() -> None:
    names, squares = pool(size=64)
    assert names == list(TRAINING)
    assert squares.shape == (15, 3, 64, 64)
    assert squares.min() >= 0
    assert squares.max() <= 1
    flat = squares.flatten(1)
    distances = torch.cdist(flat, flat) + 99 * torch.eye(15)
    assert distances.min() > 1, "fifteen different pictures"


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"photograph 'cofee'.*Did you mean 'coffee'"):
        photograph("cofee")
    with pytest.raises(InputError, match=r"unknown held-out picture 'dog'.*Known: .*yurt"):
        held_out("dog")
    with pytest.raises(InputError, match="unknown embedded photograph '__class__'"):
        photograph("__class__")


@pytest.mark.parametrize("size", [15, 0])
def test_too_small_a_size_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"size is {size}"):
        held_out("cat", size=size)
