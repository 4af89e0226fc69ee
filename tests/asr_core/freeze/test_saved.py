"""Frozen models on disk: the JSON says which gates are gone, the tensors which constants stay."""

from pathlib import Path

import pytest
import torch
from header import change_facts
from live_nets import Gated, images, ready, timm_resnet
from torch import nn

from asr_core import CheckpointError
from asr_core.freeze import FreezeReport, freeze_attention
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import load_model, save_model

MODELS = {
    "folded": lambda: timm_resnet("se"),
    "kept": lambda: Gated(nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU()), nn.SiLU()),
}


def save(path: Path, name: str, *, normalized: bool = False) -> FreezeReport:
    model = ready(MODELS[name]())
    if normalized:
        model = Normalized(model, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)).double().eval()
    report = freeze_attention(model, [images(3, 32)])
    save_model(path, report.plain, StockModel(name, {}, (3, 32, 32)), frozen=report.names)
    return report


def build(name: str, arguments: object) -> nn.Module:
    return MODELS[name]()


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_frozen_model_comes_back_frozen(tmp_path: Path, name: str, normalized: bool) -> None:
    path = tmp_path / "frozen.safetensors"
    report = save(path, name, normalized=normalized)
    written = load_meta(path)["frozen"]
    gates = ["gate"] if name == "kept" else [f"layer{i}.0.se" for i in (1, 2, 3, 4)]
    assert written == gates, "names of the backbone, as the tensors'"
    again = load_model(path, build)
    assert isinstance(again, Normalized) == normalized
    with torch.no_grad():
        assert torch.equal(again(images(2, 32)), report.plain(images(2, 32)))


def test_a_gate_that_the_json_leaves_out_is_missing_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "frozen.safetensors"
    save(path, "folded")
    change_facts(path, frozen=load_meta(path)["frozen"][1:])
    with pytest.raises(CheckpointError, match=r"missing: layer1\.0\.se\.fc1\.weight"):
        load_model(path, build)
