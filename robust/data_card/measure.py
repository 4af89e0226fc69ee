"""Measures a data set for its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr_core.data import ImageSet
from asr_core.recipes import Recipe, load_recipe, recipes
from robust.data_card.card import Card, Duplicates, Scores, Trained
from robust.data_card.simple import PENALTIES, QDA, logistic
from robust.data_card.sketch import Sketch, duplicates, sketch
from robust.sweep.runs import Run
from robust.training.classifier import ClassifierRun

NETWORK, LIKE, EPOCHS = "resnet11", "resnet11-embedded", 30
FILES_SIZE = 64
"""To which the images of folders are cropped, for a small network."""
PARTS = ("train", "validation", "test")


def measure(data: ImageSet, *, tell: Callable[[str], None] = lambda what: None) -> Card:
    """The card of ``data`` without a network.

    Args:
        data: the open data set.
        tell: called with what is done next.

    Raises:
        InputError: an image cannot be decoded, or no class has two images.
    """
    tell("looking at the images")
    seen = {part: sketch(getattr(data, part)) for part in PARTS}
    tell("looking for duplicates")
    pairs = [("test", "train"), ("test", "validation"), ("validation", "train")]
    found = [(part, other, duplicates(seen[part], seen[other])) for part, other in pairs]
    tell("simple classifiers")
    return Card(
        name=data.name,
        classes=data.num_classes,
        image_size=data.image_size,
        sizes=tuple(len(getattr(data, part)) for part in PARTS),
        seen=tuple(len(each.labels) for each in seen.values()),
        chance=data.test.labels.bincount().max().item() / len(data.test),
        qda=_qda(seen, data.num_classes),
        logistic=_logistic(seen, data.num_classes),
        duplicates=tuple(
            Duplicates(
                part=part, other=other, images=len(seen[part].labels), exact=exact, near=near
            )
            for part, other, (exact, near) in found
        ),
    )


def _scores(seen: dict[str, Sketch], predictions: Callable[[Sketch], Tensor]) -> Scores:
    accuracies = {
        part: (predictions(seen[part]) == seen[part].labels).double().mean().item()
        for part in ("validation", "test")
    }
    return Scores(**accuracies)


def _qda(seen: dict[str, Sketch], classes: int) -> Scores:
    train = seen["train"]
    model = QDA(train.features, train.labels.numpy(), classes)
    return _scores(seen, lambda part: torch.from_numpy(model.predict(part.features)))


def _logistic(seen: dict[str, Sketch], classes: int) -> Scores:
    """With the penalty that is best on the validation part."""
    x = seen["train"].small.flatten(1)
    mean, deviation = x.mean(0), x.std(0, correction=0).clamp(min=1e-3)
    labels = seen["train"].labels
    x = (x - mean) / deviation
    found = []
    for penalty in PENALTIES:
        weights, biases = logistic(x, labels, classes, penalty)

        def predictions(part: Sketch, w: Tensor = weights, b: Tensor = biases) -> Tensor:
            return (((part.small.flatten(1) - mean) / deviation) @ w + b).argmax(1)

        found.append(_scores(seen, predictions))
    return max(found, key=lambda scores: scores.validation)


def recipe_for(name: str, image_size: int, images: int, epochs: int | None) -> Recipe:
    """How the small network is trained on the set ``name``: the shipped recipe, or one like it.

    Args:
        name: of the data set.
        image_size: H = W, in pixels.
        images: in the training part.
        epochs: None for the recipe's, or ``EPOCHS`` where none ships.
    """
    shipped = f"{NETWORK}-{name}"
    if shipped in recipes():
        recipe = load_recipe(shipped)
        return recipe if epochs is None else recipe.override(epochs=epochs)
    like = load_recipe(LIKE)
    return like.override(
        name=shipped,
        data=name,
        image_size=image_size,
        batch_size=min(like.batch_size, images),
        epochs=epochs or EPOCHS,
    )


def training_runs(
    recipe: Recipe, seeds: int, folder: Path, *, data_folder: Path | None, precision: str
) -> list[Run]:
    """The runs of the plain network, in ``folder``/seed-0 and so on."""
    same = {
        "recipe": recipe.as_dict(),
        "mode": "plain",
        "precision": precision,
        "channels_last": True,
        **({} if data_folder is None else {"data_folder": str(data_folder)}),
    }
    return [
        Run(folder / f"seed-{seed}", ClassifierRun.from_fields({**same, "seed": seed}))
        for seed in range(seeds)
    ]


def trained(runs: Sequence[Run], recipe: Recipe) -> Trained:
    """What the finished ``runs`` came to."""
    results = [run.result for run in runs]
    return Trained(
        recipe=recipe.name,
        epochs=recipe.epochs,
        test=tuple(result.test.top1 for result in results),
        train=tuple(result.last["train_top1"] for result in results),
    )
