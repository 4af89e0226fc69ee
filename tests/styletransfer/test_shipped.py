"""The style networks that ship with the package: complete, whole, and comparable."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_core.saving.checkpoint import load_meta, sha256
from robust.metrics import grid_energy
from styletransfer.images.drawn import STYLE_WEIGHTS, draw_style
from styletransfer.images.embedded import SEEN, held_out
from styletransfer.inference import stylize
from styletransfer.losses.vgg import VGGLossNetwork
from styletransfer.network import NORMS
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network
from styletransfer.zoo import WEIGHTS, StyleCheckpoint, load_network, select, shipped

NETWORKS = shipped()
SEEDS = {"mosaic": (0, 1, 2), "waves": (0, 1, 2), "hatching": (0,), "points": (0,)}
"""Training seeds by style; each ships in every norm."""

LOCKED = ("hatching-in-0", "points-bn-asr-0")
"""Networks whose strokes fall in step with their own pixels, four apart: a trace, not seen."""


def facts(checkpoint: StyleCheckpoint) -> dict[str, Any]:
    return load_meta(checkpoint.path)


def test_every_style_norm_and_seed_ships_once() -> None:
    keys = [(network.style, network.norm, network.seed) for network in NETWORKS]
    assert sorted(keys) == sorted(
        [
            key
            for style, seeds in SEEDS.items()
            for key in itertools.product([style], NORMS.names(), seeds)
        ]
    )


def test_nothing_else_ships_and_it_is_small() -> None:
    files = [path for path in WEIGHTS.iterdir() if path.suffix in (".safetensors", ".json")]
    assert {path.with_suffix("") for path in files} == {
        *(network.path.with_suffix("") for network in shipped()),
        WEIGHTS / "mini-vgg",
    }
    assert sum(path.stat().st_size for path in files) <= 25e6


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(each, marks=[pytest.mark.slow] * (each.seed > 0), id=each.path.stem)
        for each in NETWORKS
    ],
)
def test_each_network_is_whole_and_tells_how_it_was_made(checkpoint: StyleCheckpoint) -> None:
    network, meta = load_network(checkpoint.path)  # checks the hash
    assert checkpoint.sha256 == sha256(checkpoint.path)
    assert meta["recipe"]["seed"] == meta["seed"] == checkpoint.seed
    assert meta["recipe"]["norm"] == network.config["norm"] == checkpoint.norm
    assert meta["loss_network"] == VGGLossNetwork.name
    for pictures in ("validation", "held_out"):
        assert 0 < meta[pictures]["content"] < 1
        assert 0 < meta[pictures]["style"] < 1
    recipe = StyleRecipe(**meta["recipe"])
    assert (recipe.width, recipe.blocks) == (network.config["width"], network.config["blocks"])
    start = new_network(recipe).state_dict()
    assert start.keys() == network.state_dict().keys()
    assert not torch.allclose(start["conv1.conv2d.weight"], network.conv1.conv2d.weight, atol=1e-2)


@pytest.mark.parametrize(("style", "seed"), [(s, seed) for s in SEEDS for seed in SEEDS[s]])
def test_variants_of_a_seed_share_everything_but_the_norm(style: str, seed: int) -> None:
    recipes = [facts(n)["recipe"] for n in NETWORKS if (n.style, n.seed) == (style, seed)]
    assert len({recipe.pop("norm") for recipe in recipes}) == len(recipes)
    assert all(recipe == recipes[0] for recipe in recipes)


def test_styles_and_seeds_share_everything_but_the_weight_of_the_style() -> None:
    recipes = [facts(network)["recipe"] for network in NETWORKS]
    own = ("norm", "seed", "style_weight")
    kept = [{k: v for k, v in r.items() if k not in own} for r in recipes]
    assert all(recipe == kept[0] for recipe in kept)
    weights = {network.style: facts(network)["recipe"]["style_weight"] for network in NETWORKS}
    assert weights == STYLE_WEIGHTS


@pytest.mark.parametrize("checkpoint", select(NETWORKS, seed=0), ids=lambda each: each.path.stem)
def test_they_paint(checkpoint: StyleCheckpoint) -> None:
    """Neither the photograph itself nor a blank, and the photograph still shows."""
    image = held_out("cat", size=96)[None]
    output = stylize(load_network(checkpoint.path)[0], image)
    assert (output - image).abs().mean() > 0.05
    assert output.std() > 0.1
    grey = torch.stack([image.mean(1).flatten(), output.mean(1).flatten()])
    assert torch.corrcoef(grey)[0, 1] > 0.3


def test_the_folder_is_the_packages() -> None:
    import styletransfer

    assert Path(styletransfer.__file__).parent / "weights" == WEIGHTS


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(each, marks=[pytest.mark.slow] if each.style != "mosaic" else [])
        for each in select(NETWORKS, seed=0)
    ],
    ids=lambda each: each.path.stem,
)
def test_no_grid_lies_over_their_pictures(checkpoint: StyleCheckpoint) -> None:
    """Not a tenth more than over the photographs or the style itself, but for two networks."""
    photographs = torch.stack([held_out(name) for name in SEEN])
    painted = grid_energy(stylize(load_network(checkpoint.path)[0], photographs)).mean()
    style = grid_energy(draw_style(checkpoint.style)[None]).mean()
    bound = 1.1 * max(grid_energy(photographs).mean(), style)
    if checkpoint.path.stem in LOCKED:
        assert bound < painted < 1.15 * bound
    else:
        assert painted <= bound
