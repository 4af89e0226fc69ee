"""Names and layouts of published weights, against torchvision's and timm's own modules."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import alexnet, vgg16

from asr_core.pretrained import convert


def as_flax(features: nn.Sequential, network: str) -> dict[str, Tensor]:
    """A network's convolutions as Flax keeps them: kernels (h, w, in, out)."""
    convs = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    found = {}
    for index, conv in enumerate(convs):
        assert conv.bias is not None
        found[f"{network}/Conv_{index}/kernel"] = conv.weight.detach().permute(2, 3, 1, 0)
        found[f"{network}/Conv_{index}/bias"] = conv.bias.detach()
    return found


def heads(*widths: int) -> dict[str, Tensor]:
    return {
        f"NetLinLayer_{index}/Conv_0/kernel": torch.rand(1, 1, width, 1)
        for index, width in enumerate(widths)
    }


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    with torch.random.fork_rng():
        return vgg16(weights=None, init_weights=False).features.eval()


def test_vgg16(vgg: nn.Sequential) -> None:
    state = convert.vgg16(as_flax(vgg, "VGG16_0") | heads(64, 128, 256, 512, 512))
    own = {f"features.{name}": tensor for name, tensor in vgg.state_dict().items()}
    assert state.keys() == own.keys()
    assert all(torch.equal(state[name], own[name]) for name in own)


def test_torchvisions_own_file_is_taken_without_its_classifier(vgg: nn.Sequential) -> None:
    own = {f"features.{name}": tensor for name, tensor in vgg.state_dict().items()}
    assert convert.vgg16(own | {"classifier.0.weight": torch.ones(1)}).keys() == own.keys()


def test_lpips_on_alexnet() -> None:
    features = alexnet(weights=None).features
    given = as_flax(features, "AlexNet_0") | heads(64, 192, 384, 256, 256)
    state = convert.lpips_alex(given)
    for name, tensor in features.state_dict().items():
        assert torch.equal(state.pop(f"features.{name}"), tensor)
    assert list(state) == [f"lin{index}.weight" for index in range(5)]
    assert state["lin1.weight"].shape == (1, 192, 1, 1)
    assert torch.equal(state["lin1.weight"].ravel(), given["NetLinLayer_1/Conv_0/kernel"].ravel())


def test_efficientnet_lite0() -> None:
    """Under the published names, in timm's order; the counters of batch norms are not all there."""
    model = timm.create_model("tf_efficientnet_lite0")
    own = model.state_dict()
    published = dict(zip(map(as_published, own), own.values(), strict=True))
    assert len(published) == len(own)
    assert "_blocks.0._depthwise_conv.weight" in published
    assert "_blocks.15._expand_conv.weight" in published
    state = convert.efficientnet_lite0(published)
    assert all(state[name] is own[name] for name in own)


def as_published(name: str) -> str:
    """The other way round, and by counting: blocks in a row, layers in the order of the forward."""
    part, _, rest = name.partition(".")
    if part != "blocks":
        return {
            "conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
            "classifier": "_fc",
        }[part] + f".{rest}"  # fmt: skip
    stage, block, layer, leaf = rest.split(".")
    number = sum((1, 2, 2, 3, 3, 4, 1)[: int(stage)]) + int(block)
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
        "conv_pwl": "_project_conv", "bn3": "_bn2",
    }  # fmt: skip
    return f"_blocks.{number}.{(first if stage == '0' else later)[layer]}.{leaf}"


def test_what_is_missing_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="VGG16_0/Conv_0/kernel"):
        convert.vgg16({})
