"""asr_core.data.augment: torchvision's crop and flip, for a whole batch at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chi2_contingency, chisquare
from torch import Tensor
from torchvision import transforms

from asr_core.data.augment import check_border, crop_and_flip
from asr_core.data.split import sample_draws
from asr_core.errors import InputError

SIZE, PADDING = 6, 4
PLACES = (2 * PADDING + 1) ** 2


def outcomes(image: Tensor, padding: int = PADDING, mode: str = "constant") -> dict[bytes, int]:
    """Every crop of the padded ``image``, plain and mirrored, numbered; written with numpy."""
    pixels = image.numpy()
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, [(0, 0), (padding, padding), (padding, padding)], mode=mode)  # type: ignore[call-overload]
    found = {}
    for mirrored in (False, True):
        for row in range(2 * padding + 1):
            for column in range(2 * padding + 1):
                crop = padded[:, row : row + height, column : column + width]
                found[(crop[..., ::-1] if mirrored else crop).tobytes()] = len(found)
    return found


def picture() -> Tensor:
    """(3, 6, 6), no two pixels alike and none black, so that every crop is another."""
    return torch.arange(1, 3 * SIZE * SIZE + 1, dtype=torch.uint8).reshape(3, SIZE, SIZE)


def counts(images: Tensor) -> list[int]:
    known = outcomes(picture())
    numbers = [known[image.numpy().tobytes()] for image in images]
    return np.bincount(numbers, minlength=2 * PLACES).tolist()


def ours(count: int, *, seed: int = 0, padding: int = PADDING, flip: bool = True) -> Tensor:
    draws = sample_draws(count, torch.Generator().manual_seed(seed))
    return crop_and_flip(picture().expand(count, -1, -1, -1), draws, padding=padding, flip=flip)


def torchvisions(count: int) -> Tensor:
    pipeline = transforms.Compose(
        [
            transforms.RandomCrop(SIZE, padding=PADDING),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )
    image = Image.fromarray(picture().permute(1, 2, 0).numpy())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.stack([pipeline(image) for _ in range(count)])


COUNT = 30 * 2 * PLACES


def test_the_outcomes_are_162() -> None:
    assert len(outcomes(picture())) == 2 * PLACES == 162


def test_every_outcome_is_as_likely_as_with_torchvision() -> None:
    mine, theirs = counts(ours(COUNT)), counts(torchvisions(COUNT))
    assert min(mine) > 0
    assert chi2_contingency([mine, theirs]).pvalue > 0.01
    assert chisquare(mine).pvalue > 0.01
    assert chisquare(theirs).pvalue > 0.01, "the oracle itself is uniform"


def test_the_test_would_see_another_distribution() -> None:
    """Moves of up to 3 pixels only, and a flip tied to the place, fail as they should."""
    assert chisquare(counts(ours(COUNT, padding=3))).pvalue < 1e-9
    place = torch.arange(COUNT) % PLACES
    draws = place + PLACES * (place % 2)
    tied = crop_and_flip(picture().expand(COUNT, -1, -1, -1), draws, padding=4, flip=True)
    assert chisquare(counts(tied)).pvalue < 1e-9


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    padding=st.integers(0, 5),
    flip=st.booleans(),
    seed=st.integers(0, 999),
)
def test_every_output_is_a_crop_of_the_padded_image(
    size: tuple[int, int], padding: int, flip: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (4, 3, *size), dtype=torch.uint8, generator=random)
    made = crop_and_flip(images, sample_draws(4, random), padding=padding, flip=flip)
    assert made.shape == images.shape
    assert made.dtype == torch.uint8
    for image, crop in zip(images, made, strict=True):
        known = outcomes(image, padding)
        assert crop.numpy().tobytes() in (known if flip else list(known)[: len(known)])
        if not flip:
            plain = np.pad(image.numpy(), [(0, 0), (padding, padding), (padding, padding)])
            windows = np.lib.stride_tricks.sliding_window_view(plain, size, axis=(1, 2))
            same = (windows == crop.numpy()[:, None, None]).all(axis=(0, 3, 4))
            assert same.any(), "not mirrored"


def test_an_image_has_its_own_draw() -> None:
    """The outcome does not depend on the place in the batch or on the other images."""
    random = torch.Generator().manual_seed(3)
    images = torch.randint(256, (50, 3, 5, 7), dtype=torch.uint8, generator=random)
    draws = sample_draws(50, random)
    whole = crop_and_flip(images, draws, padding=4, flip=True)
    order = torch.randperm(50, generator=random)
    mixed = crop_and_flip(images[order], draws[order], padding=4, flip=True)
    assert torch.equal(mixed, whole[order])
    assert len({tuple(image.flatten().tolist()) for image in ours(50)}) > 30, "draws differ"


def test_without_padding_and_flip_nothing_happens() -> None:
    assert torch.equal(ours(8, padding=0, flip=False), picture().expand(8, -1, -1, -1))


def test_half_of_the_images_are_mirrored() -> None:
    """The outcomes are numbered with the mirrored ones last."""
    found = counts(ours(1000))
    assert 420 < sum(found[PLACES:]) < 580
    assert sum(counts(ours(1000, flip=False))[PLACES:]) == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_reflected_borders_hold_the_images_own_pixels(dtype: torch.dtype) -> None:
    known = outcomes(picture(), mode="reflect")
    draws = sample_draws(COUNT, torch.Generator().manual_seed(0))
    images = picture().to(dtype).expand(COUNT, -1, -1, -1)
    crops = crop_and_flip(images, draws, padding=PADDING, flip=True, border="reflect")
    assert crops.dtype == dtype
    assert {crop.byte().numpy().tobytes() for crop in crops} == set(known)
    black = crop_and_flip(images, draws, padding=PADDING, flip=True)
    assert (black == 0).any()
    assert (crops > 0).all()
    inside = black > 0
    assert torch.equal(crops[inside], black[inside]), "only the border differs"


@pytest.mark.parametrize(
    ("border", "padding", "named"),
    [("blue", 1, "'blue'"), ("reflect", 6, "padding 6"), ("black", -1, "padding -1")],
)
def test_borders_that_cannot_be(border: str, padding: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_border(border, padding, SIZE)
    check_border("black", 6, SIZE)
    check_border("reflect", 5, SIZE)
