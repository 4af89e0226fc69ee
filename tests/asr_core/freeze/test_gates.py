"""Which modules count as live channel gates."""

import pytest
import timm
import torch
import torchvision
from live_nets import squeeze, timm_resnet
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from asr_core.attention import CBAM, SE
from asr_core.freeze import find_gates
from asr_core.models import add_attention, build


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: torchvision.models.mobilenet_v3_small(), 9),
        (lambda: torchvision.models.efficientnet_b0(), 16),
        (lambda: timm.create_model("efficientnet_b0"), 16),
        (lambda: timm.create_model("mobilenetv3_small_050"), 9),
        (lambda: timm.create_model("regnety_002"), 13),
        (lambda: timm_resnet("se"), 4),
        (lambda: timm_resnet("ceca"), 4),
        (lambda: build("resnet11", 10, mode="live", attention="spa"), 3),
        (lambda: build("shufflenet_v2", 10, mode="live", attention="eca"), 16),
        (lambda: torchvision.models.resnet18(), 0),
        (lambda: timm_resnet(), 0),
    ],
)
def test_the_gates_of_real_models(model, count):
    """Counted by what the architectures say: a squeeze in each block that has one."""
    with torch.device("meta"):
        sites, refusals = find_gates(model())
    assert len(sites) == count
    assert refusals == []


def test_live_attention_behind_layers_is_one_gate_not_two():
    """Attention on tokens: the wrapper multiplies, along the features."""
    vit = VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3)
    model = add_attention(vit, ["encoder.layers.encoder_layer_0.mlp.3"], "se")
    (site,), _ = find_gates(model)
    assert site.name.startswith("attention.encoder_layers")
    assert (site.kind, site.axis, site.multiplies) == ("SE", -1, True)
    assert site.gate == f"{site.name}.attention"


@pytest.mark.parametrize(
    ("model", "names", "reason"),
    [
        (
            lambda: build("resnet11", 10, mode="live", attention="cbam"),
            ["layer1.0.attention", "layer2.0.attention", "layer3.0.attention"],
            "spatial half",
        ),
        (
            lambda: add_attention(nn.Sequential(nn.Conv2d(3, 8, 3)), ["0"], "cbam"),
            ["attention.0"],
            "spatial half",
        ),
        (lambda: nn.Sequential(CbamModule(8)), ["0"], "spatial half"),
        (
            lambda: build("resnet11", 10, mode="live", attention="dia"),
            ["dia.0", "dia.1", "dia.2"],
            "blocks before",
        ),
    ],
)
def test_gates_that_no_constant_per_channel_can_replace(model, names, reason):
    sites, refusals = find_gates(model())
    assert sites == []
    assert [refusal.name for refusal in refusals] == names
    assert all(reason in refusal.reason for refusal in refusals)


def test_the_channel_half_of_cbam_is_a_gate():
    assert len(find_gates(nn.Sequential(CBAM(8, spatial=False)))[0]) == 1


@pytest.mark.parametrize("make", [squeeze, lambda: SE(8)])
def test_one_module_under_two_names(make):
    gate = make()
    sites, refusals = find_gates(nn.Sequential(gate, nn.ReLU(), gate))
    assert sites == []
    assert [refusal.name for refusal in refusals] == ["0", "2"]
    assert "several names" in refusals[0].reason


def test_a_subclass_may_compute_something_else():
    class Other(SEModule):
        def forward(self, x):
            return x + super().forward(x)

    assert find_gates(nn.Sequential(Other(8))) == ([], [])
