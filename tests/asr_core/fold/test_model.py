"""asr_core.fold.model: everything in one call, whatever was done before it."""

import pytest
import torch
import torchvision
from layer_cases import randomise
from representative import some_of
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import check_parity, fold_conv_bn, fold_model, fuse_asr, insert_asr, merge_branches
from asr_core.errors import InputError, ParityError
from asr_core.fold import pairs
from asr_core.fold.layer import fold_pairs
from asr_core.fold.pairs import find_pairs
from asr_core.models import resnet_acnet, resnet_cifar
from asr_core.models.networks.repvgg import RepVGG

NETS = {
    "repvgg": (
        lambda live: RepVGG((1, 2, 1, 1, 1), (4, 4, 8, 8, 8), 5, attention=live),
        {"targets": "blocks.*.bn?", "shared": "parents"},
    ),
    "acnet": (lambda live: resnet_acnet(11, 5, attention=live), {"targets": "layer*.bn3"}),
    "resnet": (lambda live: resnet_cifar(11, 5, attention=live), {"targets": "layer*.bn3"}),
}
MODES = {"plain": (None, False), "live": ("se", False), "asr": (None, True), "both": ("se", True)}
X = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def made(kind, mode="plain"):
    """In float64; norms and gates that no symmetry can hide behind."""
    torch.manual_seed(0)
    make, options = NETS[kind]
    live, gated = MODES[mode]
    model = make(live)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        randomise(norm, std=0.3)
        norm.weight.data.add_(1)
    model.double().eval()
    if gated:
        for position in insert_asr(model, "ie", **options).positions:
            randomise(position.gate)
    return model


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("mode", some_of(MODES, ["both"]))
@torch.no_grad()
def test_all_that_can_be_is_folded(kind, mode):
    model = made(kind, mode).train()
    before = snapshot(model)
    folded = fold_model(model, example=X)
    assert_unchanged(model, before)
    assert norms(model)
    assert not norms(folded)
    assert not any(m.training for m in folded.modules())
    assert not any("parametrizations" in key for key in folded.state_dict())
    assert check_parity(model, folded, X, tolerance=1e-12).ok
    if mode in ("asr", "both"):
        without = fold_model(made(kind, {"asr": "plain", "both": "live"}[mode]))
        assert check_parity(folded, without, X).max_rel > 1e-3


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("mode", some_of(["asr", "both"], ["both"]))
def test_the_order_is_free(kind, mode):
    model = made(kind, mode)
    folded = fold_model(model)
    fused = fuse_asr(model)
    assert same(fold_model(fused), folded)
    assert same(fold_model(merge_branches(model)), folded)
    assert same(fold_model(folded), folded)
    # Norms first, also those inside the blocks; the rest then rounds otherwise.
    norms_first = merge_branches(fold_conv_bn(fused, find_pairs(fused).pairs))
    assert not norms(norms_first)
    assert list(norms_first.state_dict()) == list(folded.state_dict())
    for key, value in folded.state_dict().items():
        assert torch.allclose(norms_first.state_dict()[key], value, rtol=1e-12, atol=1e-12)
    assert check_parity(model, norms_first, X, tolerance=1e-12).ok


def test_a_folded_acnet_is_a_folded_resnet():
    """Asymmetric convolutions cost nothing at inference: the same layers with the same keys."""
    acnet, resnet = fold_model(made("acnet", "asr")), fold_model(made("resnet"))
    assert not check_parity(acnet, resnet, X).ok
    resnet.load_state_dict(acnet.state_dict(), strict=True)
    assert check_parity(acnet, resnet, X, tolerance=0).ok


def test_a_folded_repvgg_is_plain_convolutions():
    folded = fold_model(made("repvgg", "asr"))
    layers = [type(m) for m in folded.blocks.modules() if not list(m.children())]
    assert layers == [nn.Conv2d, nn.ReLU] * 6
    assert {m.kernel_size for m in folded.modules() if isinstance(m, nn.Conv2d)} == {(3, 3)}
    stock = [f"blocks.{i}.conv.{p}" for i in range(6) for p in ("weight", "bias")]
    assert list(folded.state_dict()) == [*stock, "fc.weight", "fc.bias"]


def test_stock_models_without_branches():
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(width_mult=0.25, num_classes=3)
    folded = fold_model(model, example=torch.rand(2, 3, 32, 32))
    assert norms(model)
    assert not norms(folded)
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    assert same(fold_model(plain), plain)
    assert fold_model(plain)[0] is not plain[0]


def test_an_example_on_which_the_models_part(monkeypatch):
    right = fold_pairs

    def wrong(model, found):
        folded = right(model, found)
        folded.layer2[0].conv1.bias.data.add_(0.1)
        return folded

    monkeypatch.setattr(pairs, "fold_pairs", wrong)
    with pytest.raises(ParityError, match=r"outputs differ: .* first part at 'layer2\.0\.bn1'"):
        fold_model(made("acnet", "asr"), example=X)
    fold_model(made("acnet", "asr"))


def test_a_forward_that_cannot_be_traced():
    class Branching(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(InputError, match="forward of Branching cannot be traced"):
        fold_model(Branching(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
