"""Merged and folded models on disk: rebuilt with the same layers, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from layer_cases import randomise
from torch import Tensor, nn

from asr_core import fold_conv_bn, fold_report, fuse_asr, insert_asr, merge_branches
from asr_core.errors import CheckpointError
from asr_core.fold.branches import branched
from asr_core.fold.pairs import find_pairs
from asr_core.models import Normalized, resnet_acnet
from asr_core.models.networks.repvgg import RepVGG
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import load_model, save_model

STOCK = StockModel("small", {"num_classes": 5}, (3, 8, 8))
BLOCKS = {
    "acnet": [f"layer{s}.0.conv2" for s in (1, 2, 3)],
    "repvgg": [f"blocks.{i}" for i in "01234"],
}


def make(kind: str) -> nn.Module:
    if kind == "acnet":
        return resnet_acnet(11, 5)
    return RepVGG((1, 1, 1, 1, 1), (4, 4, 8, 8, 8), 5)


def trained(kind: str) -> nn.Module:
    torch.manual_seed(0)
    model = make(kind)
    targets, shared = ("layer*.bn3", None) if kind == "acnet" else ("blocks.*.bn?", "parents")
    insert_asr(model, "ie", targets=targets, shared=shared)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            randomise(module, std=0.3)
    return model.eval()


def images() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("normalized", [False, True])
@torch.no_grad()
def test_a_merged_model_comes_back_merged(tmp_path: Path, kind: str, normalized: bool) -> None:
    gated = trained(kind)
    model = Normalized(gated, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)).eval() if normalized else gated
    plain = fuse_asr(model)
    blocks = branched(plain)
    merged = merge_branches(plain, blocks)
    pairs = find_pairs(merged).pairs
    folded = fold_conv_bn(merged, pairs)
    path = tmp_path / "folded.safetensors"
    save_model(path, folded, STOCK, merged=blocks, folded=pairs)

    meta = load_meta(path)
    assert meta["merged"] == BLOCKS[kind]
    assert len(meta["folded"]) == (10 if kind == "acnet" else 0)

    def build(name: str, arguments: Any) -> nn.Module:
        return make(kind)

    again = load_model(path, build)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in again.modules())
    assert branched(again) == []
    assert torch.equal(again(images()), folded(images()))
    wanted = model(images())
    assert (again(images()) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    stock = make(kind).eval()
    assert (stock(images()) - wanted).abs().max() > 1e-2 * wanted.abs().max()


@torch.no_grad()
def test_a_fold_that_an_input_decided_comes_back(tmp_path: Path) -> None:
    """The saved input shape says that the linear layer's channels are the norm's."""

    def build(name: str, arguments: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    model = build("", {})
    randomise(model)
    x = torch.rand(3, 4)
    report = fold_report(model, example=x)
    assert report.pairs == [("0", "1")]
    path = tmp_path / "folded.safetensors"
    save_model(path, report.model, StockModel("mlp", {}, (4,)), folded=report.pairs)
    assert torch.equal(load_model(path, build)(x), report.model(x))
    save_model(path, report.model, StockModel("mlp", {}, (4, 4)), folded=report.pairs)
    with pytest.raises(CheckpointError, match=r"cannot fold '1' into '0': .* there are 3 axes"):
        load_model(path, build)
