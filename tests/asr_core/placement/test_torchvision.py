"""Every classification model of torchvision, against what its own classes say of their blocks."""

import copy
from unittest import mock

import pytest
import torch
import torchvision
from by_hooks import multiply_outputs
from layer_cases import randomise
from representative import some_of
from torch import nn
from torchvision.models import (
    convnext,
    efficientnet,
    maxvit,
    mnasnet,
    mobilenetv2,
    mobilenetv3,
    regnet,
    resnet,
    swin_transformer,
    vision_transformer,
)

from asr_core import fuse_asr, insert_asr, place

NAMES = torchvision.models.list_models(module=torchvision.models)
KEPT = (
    *("alexnet", "convnext_tiny", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x0_5"),
    *("squeezenet1_0", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32"),
)


def build(name):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    sizes = regnet.BlockParams.from_init_params

    def on_cpu(*args, **kwargs):  # it computes with tensors, which the meta device does not
        with torch.device("cpu"):
            return sizes(*args, **kwargs)

    with torch.device("meta"), mock.patch.object(regnet.BlockParams, "from_init_params", on_cpu):
        return torchvision.models.get_model(name, weights=None, **options)


def last_of_the_branch(block):
    """For each residual block: the layers whose outputs are added to the shortcut."""
    match block:
        case resnet.Bottleneck():
            return ["bn3"]
        case resnet.BasicBlock():
            return ["bn2"]
        case regnet.ResBottleneckBlock():
            return ["f.c.1"]
        case convnext.CNBlock():
            return ["block.5"]
        case efficientnet.MBConv() | efficientnet.FusedMBConv() if block.use_res_connect:
            return [f"block.{len(block.block) - 1}.1"]
        case mobilenetv2.InvertedResidual() if block.use_res_connect:
            return [f"conv.{len(block.conv) - 1}"]
        case mobilenetv3.InvertedResidual() if block.use_res_connect:
            return [f"block.{len(block.block) - 1}.1"]
        case mnasnet._InvertedResidual() if block.apply_residual:
            return ["layers.7"]
        case swin_transformer.SwinTransformerBlockV2():
            return ["norm1", "norm2"]
        case swin_transformer.SwinTransformerBlock():
            return ["attn.proj", "mlp.3"]
        case vision_transformer.EncoderBlock():
            return ["self_attention.out_proj", "mlp.3"]
        case maxvit.MBConv():
            return ["layers.conv_c"]
        case maxvit.PartitionAttentionLayer():
            return ["attn_layer.1.merge", "mlp_layer.3"]
    return []


def expected(name, model):
    modules = dict(model.named_modules())
    found = {f"{b}.{last}" for b, m in modules.items() for last in last_of_the_branch(m)}
    if found:
        return found
    norms = {n for n, m in modules.items() if isinstance(m, nn.BatchNorm2d)}
    if name.startswith("shufflenet"):  # a depthwise convolution's norm has no activation
        return {n for n in norms if before_relu(modules, n)}
    if norms:  # heads that only training sees are not in the graph of inference
        return {n for n in norms if "aux" not in n.lower()}
    return {n for n, m in modules.items() if isinstance(m, nn.Conv2d)}


def before_relu(modules, name):
    parent, _, index = name.rpartition(".")
    following = modules.get(f"{parent}.{int(index) + 1}")
    return isinstance(following, nn.ReLU)


@pytest.mark.parametrize("name", some_of(NAMES, KEPT))
def test_positions(name):
    model = build(name)
    placement = place(model)
    assert set(placement.names) == expected(name, model)
    assert len(set(placement.names)) == len(placement.names) > 0
    assert not placement.refusals


def without_head(make):
    """A model without its hidden linear layers: they are large, and no gate stands on them."""
    with torch.device("meta"):
        model = make()
        linear = [m for m in model.classifier if isinstance(m, nn.Linear)]
        model.classifier = nn.Linear(linear[0].in_features, 5)
    return model.to_empty(device="cpu")


def small_convnext():
    stages = [convnext.CNBlockConfig(8, 16, 2), convnext.CNBlockConfig(16, None, 1)]
    return vision.ConvNeXt(stages, num_classes=5)


def swin_v2():
    return vision.SwinTransformer(
        *([4, 4], 8, [2, 2], [2, 4], [4, 4]),
        num_classes=5,
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    )


vision = torchvision.models
SMALL = {
    "alexnet": (lambda: without_head(vision.alexnet), 64),
    "convnext": (small_convnext, 32),
    "densenet": (lambda: vision.densenet121(num_classes=5), 32),
    "efficientnet": (lambda: vision.efficientnet_b0(num_classes=5), 32),
    "googlenet": (lambda: vision.googlenet(num_classes=5, init_weights=False), 32),
    "inception": (lambda: vision.inception_v3(num_classes=5, init_weights=False), 75),
    "maxvit": (lambda: vision.MaxVit((56, 56), 8, 7, [8, 16], [1, 2], 8, 0.1, num_classes=5), 56),
    "mnasnet": (lambda: vision.mnasnet0_5(num_classes=5), 32),
    "mobilenet v2": (lambda: vision.mobilenet_v2(num_classes=5), 32),
    "mobilenet v3": (lambda: vision.mobilenet_v3_small(num_classes=5), 32),
    "regnet": (lambda: vision.regnet_y_400mf(num_classes=5), 32),
    "resnet": (lambda: vision.resnet18(num_classes=5), 32),
    "resnext": (lambda: vision.ResNet(resnet.Bottleneck, [1, 1, 1, 1], 5, groups=4), 32),
    "shufflenet": (lambda: vision.shufflenet_v2_x0_5(num_classes=5), 32),
    "squeezenet": (lambda: vision.squeezenet1_1(num_classes=5), 32),
    "swin": (lambda: vision.SwinTransformer([4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=5), 32),
    "swin v2": (swin_v2, 32),
    "vgg": (lambda: without_head(vision.vgg11), 32),
    "vgg bn": (lambda: without_head(vision.vgg11_bn), 32),
    "vit": (lambda: vision.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5), 32),
}
KEPT_SMALL = ("mobilenet v3", "shufflenet", "swin v2", "vgg bn")


@pytest.mark.parametrize("name", some_of(SMALL, KEPT_SMALL))
def test_a_model_of_each_family_against_stock_times_v(name):
    torch.manual_seed(0)
    make, size = SMALL[name]
    plain = make().double().eval()
    randomise(plain, std=0.1)
    keys = list(plain.state_dict())
    model = copy.deepcopy(plain)
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    report = insert_asr(model)
    for p in report.positions:
        nn.init.normal_(p.gate.psi, std=2.0)
    with torch.no_grad():
        before, gated = plain(x), model(x)
        wanted = multiply_outputs(copy.deepcopy(plain), report.positions)(x)
        fused = fuse_asr(model, example=x)
        folded = fused(x)
        plain.load_state_dict(fused.state_dict(), strict=True)
        reloaded = plain(x)
    scale = wanted.abs().max()
    assert (gated - wanted).abs().max() <= 1e-10 * scale
    assert (folded - wanted).abs().max() <= 1e-10 * scale
    assert (before - wanted).abs().max() > 1e-6 * scale  # the gates do something
    assert list(fused.state_dict()) == keys
    assert torch.equal(reloaded, folded)
