"""asr_core.fold.pairs: pairs of known networks, and none where folding would be wrong."""

import pytest
import torch
import torchvision
from representative import some_of
from torch import Tensor, nn

from asr_core import fold_conv_bn
from asr_core.errors import InputError
from asr_core.fold.pairs import find_pairs


def with_statistics(model: nn.Module, x: Tensor) -> nn.Module:
    with torch.no_grad():
        model.train()(x)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
                module.weight.add_(0.3 * torch.rand(module.weight.shape))
                module.bias.add_(0.3 * torch.rand(module.bias.shape))
    return model.eval()


class Block(nn.Module):
    """A convolution and a batch norm, put together by the subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def test_every_batch_norm_of_resnet18_follows_its_convolution() -> None:
    pairs = find_pairs(torchvision.models.resnet18()).pairs
    assert len(pairs) == 20
    assert pairs[:3] == [
        ("conv1", "bn1"),
        ("layer1.0.conv1", "layer1.0.bn1"),
        (
            "layer1.0.conv2",
            "layer1.0.bn2",
        ),
    ]
    assert ("layer2.0.downsample.0", "layer2.0.downsample.1") in pairs


@pytest.mark.parametrize(
    "name",
    some_of(
        ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "regnet_y_400mf"], ["shufflenet_v2_x0_5"]
    ),
)
def test_the_folded_network_agrees_and_has_no_norm_left(name: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 64, 64)
    model = with_statistics(torchvision.models.get_model(name, weights=None).double(), x.double())
    folded = fold_conv_bn(model, find_pairs(model).pairs)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        a, b = model(x.double()), folded(x.double())
    assert (a - b).abs().max() <= 1e-9 * a.abs().max()
    assert a.std() > 0


def test_densenet_normalises_what_several_layers_made() -> None:
    """Pre-activation: a norm reads a concatenation, so only those behind a lone conv fold."""
    pairs = dict(find_pairs(torchvision.models.densenet121()).pairs)
    assert pairs["features.conv0"] == "features.norm0"
    assert pairs["features.denseblock1.denselayer1.conv1"] == (
        "features.denseblock1.denselayer1.norm2"
    )
    assert "features.denseblock1.denselayer1.norm1" not in pairs.values()


def test_the_plain_case_is_a_pair() -> None:
    assert find_pairs(Block()).pairs == [("conv", "bn")]


class ReadElsewhere(Block):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.bn(y) + y


class ConvTwice(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(self.conv(x)))


class NormTwice(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.bn(self.conv(x)))


class ActivationBetween(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x).relu())


class BatchStatistics(Block):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3, track_running_stats=False)


class OwnNorm(Block):
    def __init__(self) -> None:
        super().__init__()
        self.bn = type("NormAndMore", (nn.BatchNorm2d,), {"__module__": "torch.nn.own"})(3)


@pytest.mark.parametrize(
    "block",
    [ReadElsewhere, ConvTwice, NormTwice, ActivationBetween, BatchStatistics, OwnNorm],
)
def test_what_cannot_be_folded_is_no_pair(block: type[Block]) -> None:
    assert find_pairs(block()).pairs == []


def test_the_mode_is_kept() -> None:
    model = Block().train()
    find_pairs(model)
    assert model.training
    assert model.bn.training


def test_a_forward_that_cannot_be_traced() -> None:
    class Branching(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.bn(x) if x.sum() > 0 else x

    with pytest.raises(InputError, match="forward of Branching cannot be traced"):
        find_pairs(Branching())
