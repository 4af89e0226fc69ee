"""robust.data_card.measure: cards of sets whose answer is known, and how the network is trained."""

import pytest
import torch

from asr_core.data import ImageSet, MemorySplit
from asr_core.recipes import load_recipe
from robust.data_card.measure import EPOCHS, PARTS, measure, recipe_for

SIDE, CLASSES = 16, 4


def picture_set(tell: str) -> ImageSet:
    """The class shows in nothing, in the colour, or in which corner is bright on any ground."""

    def split(n: int, seed: int) -> MemorySplit:
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(n) % CLASSES
        images = 90 + 60 * torch.rand(n, 3, SIDE, SIDE, generator=random)
        if tell == "colour":
            images[:, 0] += 20.0 * labels[:, None, None]
        if tell == "corner":
            half = SIDE // 2
            for row in range(n):
                down, across = divmod(int(labels[row]), 2)
                images[row, :, down * half :, across * half :][:, :half, :half] += 60
        return MemorySplit(images.byte(), labels)

    train, validation, test = (split(n, seed) for seed, n in enumerate((400, 80, 160)))
    return ImageSet(tell, tuple("abcd"), SIDE, (0.5,) * 3, (0.2,) * 3, train, validation, test)


@pytest.mark.parametrize(
    ("tell", "qda", "logistic"),
    [("nothing", False, False), ("colour", True, True), ("corner", False, True)],
)
def test_what_simple_classifiers_see(tell: str, qda: bool, logistic: bool) -> None:
    said: list[str] = []
    card = measure(picture_set(tell), tell=said.append)
    assert (card.qda.test > 0.9, card.logistic.test > 0.9) == (qda, logistic)
    if not qda:
        assert card.qda.best < 0.4, "about chance"
    assert card.chance == 0.25
    assert (card.sizes, card.seen) == ((400, 80, 160), (400, 80, 160))
    assert [(each.part, each.other) for each in card.duplicates] == [
        ("test", "train"), ("test", "validation"), ("validation", "train"),
    ]  # fmt: skip
    assert len(said) == len(PARTS)


def test_shipped_recipes_are_used() -> None:
    assert recipe_for("shapes", 32, 18_000, None) == load_recipe("resnet11-shapes")
    assert recipe_for("shapes", 32, 18_000, 5) == load_recipe("resnet11-shapes").override(epochs=5)


def test_other_sets_get_one_like_it() -> None:
    recipe = recipe_for("folder", 48, 40, None)
    assert (recipe.name, recipe.data, recipe.backbone) == ("resnet11-folder", "folder", "resnet11")
    assert (recipe.image_size, recipe.batch_size, recipe.epochs) == (48, 40, EPOCHS)
    assert (
        recipe_for("folder", 48, 4000, 7).batch_size == load_recipe("resnet11-embedded").batch_size
    )
