"""styletransfer.losses.mini_vgg: the layers, and batch norms folded away."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styletransfer.losses.mini_vgg import STAGES, MiniVGG, folded


@pytest.fixture
def trained() -> MiniVGG:
    """With batch norms whose statistics and affines are anything but the initial ones."""
    torch.manual_seed(0)
    network = MiniVGG(batch_norm=True).double()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1, std=0.3)
            nn.init.normal_(layer.bias, std=0.3)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.3, 2)
    return network


def images(height: int = 32, width: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64)


def test_folded_equals_trained_in_eval_mode(trained: MiniVGG) -> None:
    plain = folded(trained).double()
    with torch.no_grad():
        wanted, found = trained.eval()(images()), plain(images())
    assert len(found) == len(wanted) == 4
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)  # the copy's weights are float32
        assert b.std() > 0


def test_folding_changes_nothing_in_the_trained_network(trained: MiniVGG) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    plain = folded(trained)
    assert trained.training
    assert all(module.training for module in trained.modules())
    assert not plain.training
    assert all(torch.equal(t, before[name]) for name, t in trained.state_dict().items())


def test_what_is_folded_loads_into_a_plain_network(trained: MiniVGG) -> None:
    MiniVGG().load_state_dict(folded(trained).state_dict(), strict=True)
    assert not [m for m in folded(trained).modules() if isinstance(m, nn.BatchNorm2d)]


def test_the_layers_are_the_recipes() -> None:
    """24, 24, M, 48, 48, M, 96, 96, M, 128 (STYLE_RECIPE), 3x3 each."""
    convs = [layer for layer in MiniVGG().modules() if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [24, 24, 48, 48, 96, 96, 128]
    assert [conv.in_channels for conv in convs] == [3, 24, 24, 48, 48, 96, 96]
    assert {(conv.kernel_size, conv.padding) for conv in convs} == {((3, 3), (1, 1))}


def test_forward_is_conv_relu_and_average_pooling() -> None:
    torch.manual_seed(0)
    network = MiniVGG().double()
    convs = iter([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)])
    x = (images() - 0.5) * 4
    with torch.no_grad():
        for found, widths in zip(network(images()), STAGES, strict=True):
            for _ in widths:
                conv = next(convs)
                x = F.conv2d(x, conv.weight, conv.bias, padding=1).clamp(min=0)
            assert torch.equal(found, x)
            x = F.interpolate(x, scale_factor=0.5, mode="area")


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_it_can_stop_early(stages: int) -> None:
    network = MiniVGG().double()
    with torch.no_grad():
        found, whole = network(images(), stages=stages), network(images())
    assert len(found) == stages
    assert all(torch.equal(a, b) for a, b in zip(found, whole[:stages], strict=True))


def test_odd_sizes_are_taken() -> None:
    with torch.no_grad():
        shapes = [tuple(f.shape[1:]) for f in MiniVGG().double()(images(35, 19))]
    assert shapes == [(24, 35, 19), (48, 17, 9), (96, 8, 4), (128, 4, 2)]
