"""Each of the paper's backbones in small: the same classes and targets, little depth and width."""

import dataclasses
import importlib
from collections import OrderedDict
from unittest import mock

import torch
from layer_cases import randomise
from representative import some_of
from torch import nn
from torchvision.models import ShuffleNetV2, VisionTransformer, resnet
from torchvision.models.vgg import cfgs, make_layers

from asr_core.attention import SE
from asr_core.models import BACKBONES, MobileNetV1, RepVGG, resnet_acnet, resnet_cifar

build_module = importlib.import_module("asr_core.models.build")

CLASSES = 5


def _resnet(block, depth):
    """The first two of the four stages."""

    def make(num_classes):
        model = resnet.ResNet(block, [1, depth, 1, 1])
        model.layer3, model.layer4 = nn.Identity(), nn.Identity()
        model.fc = nn.Linear(128 * block.expansion, num_classes)
        return model

    return make


def _cifar(depth):
    return lambda num_classes, **options: resnet_cifar(depth, num_classes, **options)


def _vgg(num_classes):
    widths = [width if width == "M" else width // 16 for width in cfgs["E"]]
    layers = {
        "features": make_layers(widths, batch_norm=True),
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "classifier": nn.Linear(32, num_classes),
    }
    return nn.Sequential(OrderedDict(layers))


def _mobilenet(num_classes):
    model = MobileNetV1(num_classes)
    model.blocks = model.blocks[:2]
    model.fc = nn.Linear(128, num_classes)
    return model


def _vit(layers):
    return lambda num_classes: VisionTransformer(32, 16, layers, 2, 16, 32, num_classes=num_classes)


MAKERS = {
    "resnet83": _cifar(11),
    "resnet164": _cifar(20),
    "resnet83_acnet": lambda num_classes, **options: resnet_acnet(11, num_classes, **options),
    "resnet34": _resnet(resnet.BasicBlock, 1),
    "resnet50": _resnet(resnet.Bottleneck, 1),
    "resnet101": _resnet(resnet.Bottleneck, 2),
    "vgg19_bn": _vgg,
    "repvgg_a0": lambda num_classes, **options: RepVGG(
        (1, 1, 1, 1, 1), (6, 6, 8, 8, 12), num_classes, **options
    ),
    "shufflenet_v2": lambda num_classes: ShuffleNetV2([1, 1, 1], [8, 16, 24, 32, 48], num_classes),
    "mobilenet_v1": _mobilenet,
    "vit_s_16": _vit(1),
    "vit_b_16": _vit(2),
    "vit_b_16_384": _vit(2),
}
# The others are deeper ones of the same classes.
NAMES = [n for n in MAKERS if n not in ("resnet164", "resnet101", "vit_b_16", "vit_b_16_384")]
# A gate in each block, one shared by branches, and one in an attention with tanh.
KEPT = ("resnet83", "repvgg_a0", "vit_s_16")
EVERY_NAME = some_of(NAMES, KEPT)
STOCK_MODE = {"asr": "plain", "both": "live", "frozen": "plain", "free-v": "plain"}
"""What a mode is once it is fused."""


def small(name, mode="plain", seed=0, **options):
    """:func:`asr_core.models.build` of a small backbone, its parameters and statistics random."""
    backbones = {n: dataclasses.replace(BACKBONES[n], make=make) for n, make in MAKERS.items()}
    torch.manual_seed(seed)
    with mock.patch.object(build_module, "BACKBONES", backbones):
        model = build_module.build(name, CLASSES, mode=mode, **options)
    randomise(model, std=0.3)
    for module in model.modules():
        if isinstance(module, SE):  # so narrow, the ReLU of its bottleneck may be dead
            module.reduce.bias.data.abs_().add_(1.0)
    return model


def images(n=2, seed=0, dtype=torch.float32):
    """Inputs (n, 3, 32, 32)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 32, 32, generator=generator, dtype=dtype)
