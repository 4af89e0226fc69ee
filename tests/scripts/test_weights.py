"""The scripts that make the shipped weights again, with next to no steps."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from robust.models.card import shipped_card
from robust.studies.style_runs import Training
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.zoo import WEIGHTS, shipped

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / "weights" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def style_weights() -> ModuleType:
    return script("style_networks")


def test_the_shipped_files_bear_the_names_that_the_script_gives(style_weights: ModuleType) -> None:
    for network in shipped():
        name = style_weights.file_name(network.style, network.norm, network.seed)
        assert network.path == WEIGHTS / name


def test_the_card_of_the_shipped_networks_is_that_of_their_files(
    style_weights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (WEIGHTS / style_weights.CARD).read_text(encoding="utf-8")
    assert text == shipped_card(), "run scripts/weights/style_networks.py"
    for network in shipped():
        assert f"| {network.path.name} | {network.style} |" in text
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(WEIGHTS)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["outputs"].shape == names["images"].shape


def test_it_trains_what_is_missing(
    style_weights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the style's own weight, and several seeds of two styles."""
    asked: list[Training] = []

    def train(trainings: list[Training], *, jobs: int, device: str) -> Iterator[Path]:
        asked.extend(trainings)
        assert (jobs, device) == (3, "cpu")
        return iter([])

    monkeypatch.setattr(style_weights, "train_networks", train)
    shutil.copy(WEIGHTS / "mosaic-in-1.safetensors", tmp_path)
    line = f"x --out {tmp_path} --jobs 3 --seeds 2 --norms in bn --styles points mosaic"
    monkeypatch.setattr(sys, "argv", line.split())
    style_weights.main()
    assert [(each.fields["style"], each.fields["norm"], each.fields["seed"]) for each in asked] == [
        *(("points", "in", 0), ("points", "bn", 0), ("mosaic", "in", 0), ("mosaic", "bn", 0)),
        ("mosaic", "bn", 1),
    ]
    assert [each.fields["style_weight"] for each in asked] == [0.5, 0.5, 0.7, 0.7, 0.7]
    assert asked[-1].packed == tmp_path / "mosaic-bn-1.safetensors"


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
