"""robust.models.foreign: state dicts that others trained, through stripes and freeze."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from click.testing import CliRunner
from live_stripes import data
from safetensors.torch import save_file
from saved_models import randomise
from torch import nn

import asr_core.data
from asr_core.data import DATASETS
from asr_core.errors import CheckpointError, InputError
from robust.cli import main
from robust.models.files import open_model
from robust.models.foreign import load_foreign

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def made(name: str, **options: Any) -> nn.Module:
    with torch.random.fork_rng():
        if name.startswith("timm:"):
            model: nn.Module = timm.create_model(name.removeprefix("timm:"), **options)
        else:
            model = torchvision.models.get_model(name, **options)
    randomise(model)
    return model.eval()


@pytest.mark.parametrize("name", ["timm:mobilenetv3_small_050", "mobilenet_v3_small"])
@pytest.mark.parametrize("classes", [1000, 5])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_model_is_the_stock_one_on_normalised_images(
    tmp_path: Path, name: str, classes: int, suffix: str
) -> None:
    stock = made(name, num_classes=classes)
    path = tmp_path / f"weights.{suffix}"
    state = stock.state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    opened = open_model(path, builder=name)
    with torch.no_grad():
        expected = stock((IMAGES - MEAN) / STD)
        assert expected.shape == (2, classes)
        assert torch.allclose(opened.model(IMAGES), expected, rtol=1e-4, atol=1e-4)


def test_files_of_data_parallel_and_of_old_versions(tmp_path: Path) -> None:
    stock = made("mobilenet_v3_small", num_classes=5)
    state = {
        f"module.{name}": tensor
        for name, tensor in stock.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save({"state_dict": state, "epoch": torch.tensor(3)}, tmp_path / "old.pth")
    model, found, _ = load_foreign(tmp_path / "old.pth", "mobilenet_v3_small")
    assert found.arguments == {"num_classes": 5}
    with torch.no_grad():
        assert torch.allclose(model(IMAGES), stock((IMAGES - MEAN) / STD), rtol=1e-4, atol=1e-4)


def test_another_model_is_refused_by_its_first_names(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(made("mobilenet_v3_small", num_classes=5).state_dict(), path)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        load_foreign(path, "resnet18")


@pytest.mark.parametrize("name", ["asr:resnet11", "own.nets:net", "fasterrcnn_resnet50_fpn"])
def test_a_model_without_a_published_normalisation_is_refused(tmp_path: Path, name: str) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=re.escape(repr(name))):
        load_foreign(tmp_path / "weights.pth", name)


@pytest.mark.slow
def test_stripes_and_freeze_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS._entries, "small", lambda source: data())
    monkeypatch.setattr(asr_core.data, "open_data", lambda name, **options: data())
    name, path = "timm:mobilenetv3_small_050", tmp_path / "weights.pth"
    torch.save(made(name, num_classes=5).state_dict(), path)

    def told(*words: object) -> dict[str, Any]:
        line = [str(word) for word in (*words, "--model", name, "--data", "small", "--json")]
        result = CliRunner().invoke(main, line, prog_name="robust")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    layers = told("stripes", path, "--out", tmp_path / "stripes")["layers"]
    assert layers[0]["name"] == "blocks.0.0.se"
    assert all(0 <= layer["eta2_untrained"] <= 1 for layer in layers)
    out = tmp_path / "frozen.safetensors"
    frozen = told("freeze", path, "--out", out)
    assert len(frozen["gates"]) == len(layers)
    assert "which others trained" in (tmp_path / "frozen.md").read_text()
    assert open_model(out).model(IMAGES).shape == (2, 5)
