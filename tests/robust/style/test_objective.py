"""robust.style.objective: the weights are those of the networks' training."""

from pathlib import Path

import pytest
from tiny_networks import save_tiny

from asr_core.saving.checkpoint import load_checkpoint, save_checkpoint
from robust.style.objective import Objective, objective_of
from styletransfer.recipe import StyleRecipe
from styletransfer.zoo import StyleCheckpoint, describe


def network(folder: Path, norm: str, recipe: object) -> StyleCheckpoint:
    path = save_tiny(folder, norm, 0)
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, {**meta, "recipe": recipe})
    return describe(path)


def test_the_weights_come_from_the_recipe(tmp_path: Path) -> None:
    recipe = StyleRecipe(style_weight=4.5, content_weight=0.5).as_dict()
    bare, trained = network(tmp_path, "in", None), network(tmp_path, "bn", recipe)
    found = objective_of([bare, trained])
    assert (found.content_weight, found.style_weight) == (0.5, 4.5)
    assert found.source == f"recipe of {trained.path.name}"
    assert found.formula == "0.5 · content + 4.5 · style"


def test_networks_of_other_weights_are_counted(tmp_path: Path) -> None:
    networks = [
        network(tmp_path, norm, StyleRecipe(style_weight=weight).as_dict())
        for norm, weight in (("in", 4.0), ("bn", 4.0), ("bn+asr", 2.0))
    ]
    found = objective_of(networks)
    assert found.style_weight == 4.0
    assert "1 networks were trained with others" in found.source


@pytest.mark.parametrize("recipe", [None, {}, {"content_weight": 1.0, "style_weight": "3"}])
def test_without_a_usable_recipe_it_is_the_default_and_says_so(
    tmp_path: Path, recipe: object
) -> None:
    found = objective_of([network(tmp_path, "bn", recipe)])
    assert found == Objective()
    assert found.style_weight == StyleRecipe().style_weight
    assert found.source == "defaults of training"


def test_a_public_checkpoint_has_no_recipe(tmp_path: Path) -> None:
    public = StyleCheckpoint("candy", "in", 0, tmp_path / "candy.pth", "0")
    assert objective_of([public]) == Objective()
