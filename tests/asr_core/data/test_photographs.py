"""asr_core.data.photographs: what ships with scikit-image and foolbox, as tensors."""

from pathlib import Path

import foolbox
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from asr_core.data.photographs import IMAGENET, PHOTOGRAPHS, photograph, pixels
from asr_core.errors import InputError


def by_scikit_image(name: str) -> np.ndarray:
    if name.startswith("motorcycle"):
        return np.asarray(data.stereo_motorcycle()[name == "motorcycle_right"])
    return np.asarray(getattr(data, name)())


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_pixels_are_scikit_images(name: str) -> None:
    found, theirs = pixels(name), by_scikit_image(name)
    assert found.dtype == torch.uint8
    assert found.shape == (3, *theirs.shape[:2])
    for channel in range(3):
        expected = theirs[..., channel] if theirs.ndim == 3 else theirs
        assert np.array_equal(found[channel].numpy(), expected)


def test_foolbox_photographs_are_all_there() -> None:
    files = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))
    assert list(IMAGENET) == [file.stem for file in files]
    theirs = np.asarray(Image.open(files[9]).convert("RGB"))
    assert np.array_equal(pixels(IMAGENET[9]).permute(1, 2, 0).numpy(), theirs)


def test_photographs_are_the_pixels_in_the_unit_interval() -> None:
    assert torch.equal(photograph("coffee"), pixels("coffee").float() / 255)
    assert photograph("coffee") is photograph("coffee"), "kept"


def test_names_are_told_apart() -> None:
    assert list(PHOTOGRAPHS) == sorted(set(PHOTOGRAPHS))
    with pytest.raises(InputError, match=r"photograph 'cofee'.*Did you mean 'coffee'.*rocket"):
        pixels("cofee")
    with pytest.raises(InputError, match="unknown embedded photograph '__class__'"):
        photograph("__class__")
