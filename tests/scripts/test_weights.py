"""The scripts that make the shipped weights again, with next to no steps."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny_run import make_quick

from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.zoo import WEIGHTS, load_network, shipped

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / "weights" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def style_weights(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    make_quick(monkeypatch)
    return script("style_networks")


def test_the_shipped_files_bear_the_names_that_the_script_gives(style_weights: ModuleType) -> None:
    for network in shipped():
        name = style_weights.file_name(network.style, network.norm, network.seed)
        assert network.path == WEIGHTS / name


def test_a_style_network_is_that_of_its_run(style_weights: ModuleType, tmp_path: Path) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    options = argparse.Namespace(out=out, work=work, steps=1, loss_network="embedded")
    for _ in range(2):  # the second finds the run finished
        assert style_weights.make("mosaic", "bn+asr", 2, options) == "mosaic-bn-asr-2.safetensors"
    assert os.listdir(out) == ["mosaic-bn-asr-2.safetensors"]
    made = (out / "mosaic-bn-asr-2.safetensors").read_bytes()
    assert made == (work / "mosaic-bn-asr-2" / "network.safetensors").read_bytes()
    _, meta = load_network(out / "mosaic-bn-asr-2.safetensors")
    recipe = StyleRecipe(norm="bn+asr", seed=2, steps=1, precision="bfloat16")
    assert meta["recipe"] == recipe.as_dict()


def test_the_loss_network_is_trained_folded_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mini-vgg.safetensors"
    line = ["make_loss_network", "--steps", "2", "--batch-size", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    with torch.random.fork_rng(devices=[]):
        script("loss_network").main()
    network = EmbeddedLossNetwork(out)
    shipped_keys = EmbeddedLossNetwork().state_dict().keys()
    assert network.state_dict().keys() == shipped_keys
    features = network(torch.rand(1, 3, 64, 64)).style
    assert all(feature.isfinite().all() for feature in features)
    assert sorted(os.listdir(tmp_path)) == ["mini-vgg.safetensors"]
