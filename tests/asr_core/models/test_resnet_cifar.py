import pytest
import torch
import torchvision
from representative import some_of
from torch import nn

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from asr_core.models import resnet_cifar

# The paper's Table 1 in millions of parameters, at 100 classes (CIFAR100) and 10 (STL10).
TABLE_1 = {
    "plain": (1.73, 1.70),
    "ie": (1.74, 1.72),
    "se": (1.93, 1.91),
    "srm": (1.76, 1.74),
    "spa": (3.86, 3.83),
    "cbam": (1.93, 1.90),
    "dia": (1.95, 1.92),
}
CELLS = [
    (name, k, cell) for name, row in TABLE_1.items() for k, cell in zip((100, 10), row, strict=True)
]


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "num_classes", "millions"), CELLS)
def test_parameters_of_table_1(name, num_classes, millions):
    model = resnet_cifar(164, num_classes, attention=None if name == "plain" else name)
    assert round(count(model) / 1e6, 2) == millions


def test_parameters_exactly():
    assert count(resnet_cifar(164, 100)) == 1_727_284
    assert count(resnet_cifar(164, 10)) == 1_704_154


@pytest.mark.parametrize("attention", some_of(["se", "spa"], ["se"]))
@pytest.mark.parametrize("num_classes", some_of([100, 10], [10]))
@pytest.mark.filterwarnings("ignore:no gate has changed")
def test_asr_adds_nothing_once_fused(attention, num_classes):
    model = resnet_cifar(164, num_classes)
    plain = count(model)
    report = insert_asr(model, attention, targets="layer*.bn3")
    assert len(report.positions) == 54
    live = resnet_cifar(164, num_classes, attention=attention)
    psi = sum(position.channels for position in report.positions)
    assert count(model) == count(live) + psi  # in training ASR has the module and ψ
    fused = fuse_asr(model, inplace=True)
    assert count(fused) == plain
    resnet_cifar(164, num_classes).load_state_dict(fused.state_dict())


@pytest.mark.parametrize(("width", "planes", "stride"), [(64, 16, 1), (16, 16, 1), (64, 32, 2)])
def test_block_against_torchvision(width, planes, stride):
    ours = resnet_cifar(20, 10)
    block = {(64, 1): ours.layer1[1], (16, 1): ours.layer1[0], (64, 2): ours.layer2[0]}
    block = block[width, stride]
    theirs = torchvision.models.resnet.Bottleneck(
        width, planes, stride=stride, downsample=block.downsample
    )
    theirs.load_state_dict(block.state_dict())
    x = torch.randn(2, width, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("attention", [None, "se", "cbam", "dia", "srm"])
@pytest.mark.parametrize("size", [32, 96])
def test_logits_and_gradients(attention, size):
    torch.manual_seed(0)
    model = resnet_cifar(20, 7, attention=attention)
    logits = model(torch.rand(2, 3, size, size))
    assert logits.shape == (2, 7)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_attention_gates_the_last_norm_before_the_add():
    torch.manual_seed(0)
    model = resnet_cifar(11, 4, attention="se").eval()
    plain = resnet_cifar(11, 4).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "attention" not in k})
    x = torch.rand(2, 3, 16, 16)
    assert not torch.allclose(model(x), plain(x))
    for block in model.modules():
        if hasattr(block, "attention") and block.attention is not None:
            block.attention.forward = lambda features: torch.ones_like(features[:, :, :1, :1])
    assert torch.equal(model(x), plain(x))
    for block in model.modules():  # a gate of 0 leaves the shortcut alone
        if hasattr(block, "attention") and block.attention is not None:
            block.attention.forward = lambda features: torch.zeros_like(features)
            nn.init.ones_(block.bn3.bias)
    block = model.layer1[0]
    features = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(features), block.downsample(features).relu())


def test_dia_has_one_cell_per_stage_and_starts_afresh_each_forward():
    torch.manual_seed(0)
    model = resnet_cifar(20, 4, attention="dia").eval()
    assert len(model.dia) == 3
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(model(x), model(x))


def test_depths():
    assert len(resnet_cifar(83, 10).layer1) == 9
    assert len(resnet_cifar(164, 10).layer3) == 18
    for depth in (2, 10, 50, 163):
        with pytest.raises(InputError, match=rf"9n \+ 2 .*got {depth}"):
            resnet_cifar(depth, 10)
    with pytest.raises(InputError, match="unknown attention module 'nope'"):
        resnet_cifar(11, 10, attention="nope")
