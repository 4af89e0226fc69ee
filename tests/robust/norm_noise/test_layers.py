import pytest
import timm.layers
import torch
import torchvision
from torch import nn

from asr_core import insert_asr
from asr_core.errors import InputError, TargetError
from robust.norm_noise import ConstantNoise, Noise, norm_layers


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)),
        nn.ReLU(),
    )


def test_all_norm_layers_of_known_networks():
    resnet = torchvision.models.resnet18(weights=None)
    assert len(norm_layers(resnet)) == 20
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    assert len(norm_layers(vit)) == 2 * 2 + 1


def test_layers_by_name_glob_and_callable():
    net = small_net()
    assert list(norm_layers(net, "1")) == ["1"]
    assert list(norm_layers(net, ["2.*"])) == ["2.0", "2.1"]
    assert list(norm_layers(net, ["2.1", "1"])) == ["1", "2.1"]  # in the model's order
    assert list(norm_layers(net, lambda m, name: isinstance(m, nn.GroupNorm))) == ["2.1"]


@pytest.mark.parametrize("layers", ["conv*", ["1", "0"], lambda module, name: False])
def test_a_pattern_that_means_no_norm_layer_is_refused(layers):
    with pytest.raises(TargetError, match=r"unknown norm layer .*Known: 1, 2\.0, 2\.1"):
        norm_layers(small_net(), layers)


def test_no_patterns_at_all_are_refused():
    with pytest.raises(TargetError, match=r"layers is empty.*1, 2\.0, 2\.1"):
        norm_layers(small_net(), [])


def test_norms_inside_a_gate_are_not_the_models_own():
    net = small_net()
    insert_asr(net, "se", targets="1")
    net.get_submodule("1").asr.add_module("extra", nn.BatchNorm2d(4))
    assert list(norm_layers(net)) == ["1", "2.0", "2.1"]


def test_a_layer_with_two_names_is_attacked_once():
    norm = nn.BatchNorm2d(4)
    net = nn.Sequential(norm, norm).eval()
    x = torch.randn(2, 4, 3, 3)
    with Noise(net, ConstantNoise(1, 1), seed=0) as noise:
        assert noise.layers == ("0",)
        assert torch.allclose(net(x), x + 2, atol=1e-4)  # once per call, not twice


def test_a_subclass_that_adds_an_activation_is_refused():
    net = nn.Sequential(timm.layers.BatchNormAct2d(4))
    with pytest.raises(TargetError, match=r"'0' is a BatchNormAct2d with a forward of its own"):
        Noise(net, ConstantNoise(0.8, 0.5), seed=0)
    Noise(nn.Sequential(net, nn.BatchNorm2d(4)), ConstantNoise(0.8, 0.5), seed=0, layers="1")


def test_unbatched_instance_norm_is_refused_rather_than_misread():
    norm = nn.InstanceNorm2d(3)
    with (
        Noise(norm, ConstantNoise(0.8, 0.5), seed=0),
        pytest.raises(InputError, match=r"\(3, 3, 3\) without a batch axis"),
    ):
        norm(torch.randn(3, 3, 3))
