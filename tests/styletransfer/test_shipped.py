"""The style networks that ship with the package: complete, whole, and comparable."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from styletransfer.images.drawn import STYLES
from styletransfer.images.embedded import held_out
from styletransfer.inference import stylize
from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network
from styletransfer.zoo import WEIGHTS, StyleCheckpoint, load_network, select, shipped

NETWORKS = shipped()
SEEDS = (0, 1, 2)


def facts(checkpoint: StyleCheckpoint) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(checkpoint.path.with_suffix(".json").read_text())
    return meta


def test_every_style_norm_and_seed_ships_once() -> None:
    keys = [(network.style, network.norm, network.seed) for network in NETWORKS]
    assert sorted(keys) == sorted(itertools.product(STYLES.names(), NORMS.names(), SEEDS))


def test_nothing_else_ships_and_it_is_small() -> None:
    files = [path for path in WEIGHTS.iterdir() if path.suffix in (".safetensors", ".json")]
    assert {path.with_suffix("") for path in files} == {
        *(network.path.with_suffix("") for network in shipped()),
        WEIGHTS / "mini-vgg",
    }
    assert sum(path.stat().st_size for path in files) <= 16e6


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(each, marks=[pytest.mark.slow] * (each.seed > 0), id=each.path.stem)
        for each in NETWORKS
    ],
)
def test_each_network_is_whole_and_tells_how_it_was_made(checkpoint: StyleCheckpoint) -> None:
    network, meta = load_network(checkpoint.path)  # checks the hash
    assert meta["sha256"] == checkpoint.sha256
    assert meta["recipe"]["seed"] == meta["seed"] == checkpoint.seed
    assert meta["recipe"]["norm"] == network.config["norm"] == checkpoint.norm
    assert meta["loss_network"].startswith("embedded")
    assert 0 < meta["held_out"]["content"] < 1
    assert 0 < meta["held_out"]["style"] < 1
    recipe = StyleRecipe(**meta["recipe"])
    assert (recipe.width, recipe.blocks) == (network.config["width"], network.config["blocks"])
    start = new_network(recipe).state_dict()
    assert start.keys() == network.state_dict().keys()
    assert not torch.allclose(start["conv1.conv2d.weight"], network.conv1.conv2d.weight, atol=1e-2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("style", STYLES.names())
def test_variants_of_a_seed_share_everything_but_the_norm(style: str, seed: int) -> None:
    recipes = [facts(n)["recipe"] for n in NETWORKS if (n.style, n.seed) == (style, seed)]
    assert len({recipe.pop("norm") for recipe in recipes}) == len(recipes)
    assert all(recipe == recipes[0] for recipe in recipes)


def test_seeds_share_everything_but_the_seed() -> None:
    recipes = [facts(network)["recipe"] for network in NETWORKS]
    kept = [{k: v for k, v in r.items() if k not in ("norm", "seed")} for r in recipes]
    assert all(recipe == kept[0] for recipe in kept)


@pytest.mark.parametrize("norm", NORMS.names())
@pytest.mark.parametrize("style", STYLES.names())
def test_they_paint(style: str, norm: str) -> None:
    """Neither the photograph itself nor a blank, and the photograph still shows."""
    (checkpoint,) = select(NETWORKS, style=style, norm=norm, seed=0)
    image = held_out("cat", size=96)[None]
    output = stylize(load_network(checkpoint.path)[0], image)
    assert (output - image).abs().mean() > 0.05
    assert output.std() > 0.1
    grey = torch.stack([image.mean(1).flatten(), output.mean(1).flatten()])
    assert torch.corrcoef(grey)[0, 1] > 0.3


def test_the_folder_is_the_packages() -> None:
    import styletransfer

    assert Path(styletransfer.__file__).parent / "weights" == WEIGHTS
