"""Each of the paper's thirteen recipes on tiny data in its real format, from first step to file.

The networks have their full size; the ResNets for ImageNet get images of 64 pixels. A small CNN
stands for all by default; the others, of which the two ViT-B take minutes and gigabytes, are marked
slow.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from data_files import write_cifar, write_class_folders, write_stl10
from tiny_classifier import accelerator_for, weights

from asr_core.data import ImageSet, open_data
from asr_core.models import build
from asr_core.models.named import build_named
from asr_core.recipes import Recipe, load_recipe, recipes
from asr_core.saving.checkpoint import load_tensors
from asr_core.saving.saved_model import load_model
from asr_core.training import DataFacts, Result, Step, TrainConfig, evaluate, open_run, train
from asr_core.training.learner import Learner
from asr_core.training.model import new_model

QUICK = ("shufflenetv2-cifar100",)
SLOW = (
    "resnet83-cifar10", "resnet164-cifar10", "vgg19-cifar10", "mobilenet-stl10", "repvgg-stl10",
    "resnet-acnet-cifar10", "resnet34-imagenet", "resnet50-imagenet", "resnet101-imagenet",
    "vit-s-imagenet", "vit-b-imagenet", "vit-b-384-imagenet",
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def write(recipe: Recipe, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The recipe's data set on disk: two images a class to train on, or a few more."""
    if recipe.data.startswith("cifar"):
        write_cifar(folder, patch, classes=int(recipe.data.removeprefix("cifar")), per_class=2)
    elif recipe.data == "stl10":
        write_stl10(folder, patch, per_class=2)
    else:
        classes = ("n01440764", "n01443537")
        write_class_folders(folder / "train", classes=classes, per_class=3)
        write_class_folders(folder / "val", classes=classes, per_class=1, seed=1)


def two_steps(name: str) -> Recipe:
    """The recipe, of one epoch of two steps on such data."""
    recipe = load_recipe(name)
    changes: dict[str, Any] = {"epochs": 1}
    # One image of each class is set aside for validation.
    changes["batch_size"] = {"cifar100": 50, "imagenet": 2}.get(recipe.data, 5)
    if recipe.backbone.startswith("resnet") and recipe.data == "imagenet":
        changes["image_size"] = 64
    return recipe.override(**changes)


def interrupted(config: TrainConfig, data: ImageSet, folder: Path) -> None:
    """The run's first step, in which Ctrl-C is pressed."""
    step = Learner.step

    def pressed(self: Learner, *args: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", pressed)
        with pytest.raises(KeyboardInterrupt, match=re.escape(str(folder))):
            train(config, data, folder, accelerator=accelerator_for(config, folder))


def gone_on_with(config: TrainConfig, data: ImageSet, folder: Path) -> tuple[Result, list[int]]:
    """The rest of the run, and the numbers of its steps."""
    steps: list[int] = []

    def note(step: Step) -> None:
        steps.append(step.step)

    accelerator = accelerator_for(config, folder)
    return train(config, data, folder, accelerator=accelerator, on_step=note), steps


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_recipe_trains_resumes_fuses_and_evaluates(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = two_steps(name), tmp_path / "run"
    write(recipe, tmp_path / "data", monkeypatch)
    data = open_data(recipe.data, folder=tmp_path / "data", image_size=recipe.image_size, workers=0)
    config = TrainConfig(recipe=recipe)

    interrupted(config, data, folder)
    start = new_model(config, DataFacts.of(data)).model.state_dict()
    result, steps = gone_on_with(config, data, folder)
    assert steps == [2], "the first step was not lost"
    learned = weights(folder)
    psi = [key for key in learned if key.endswith(".psi")]
    assert result.gates >= len(psi) > 0  # branches that are summed share one
    same = [key for key in psi if torch.equal(start[key], learned[key])]
    assert not same, "each gate learns"

    stock = build(recipe.backbone, len(data.classes))
    stock.load_state_dict(load_tensors(result.file), strict=True)
    gated = evaluate(open_run(folder).model, data.test, batch_size=4)
    fused = evaluate(load_model(result.file, build_named), data.test, batch_size=4)
    assert torch.equal(gated.predictions, fused.predictions), "sample by sample"
    assert fused.top1 == result.test.top1
    assert fused.loss == pytest.approx(result.test.loss, rel=1e-4)


def test_no_recipe_of_the_paper_is_left_out() -> None:
    ours = {load_recipe(name).backbone for name in (*QUICK, *SLOW)}
    papers = {recipe.backbone for recipe in map(load_recipe, recipes()) if recipe.source != "ours"}
    assert ours == papers
    assert len(ours) == 13
    tried = {load_recipe(name).data for name in (*QUICK, *SLOW)}
    assert tried == {"cifar10", "cifar100", "stl10", "imagenet"}
