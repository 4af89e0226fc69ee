"""The paper's backbones by name, and where ASR goes in each (paper, supplementary, B.2).

ResNet11 and ResNet29 are the CIFAR ResNets at depths that train in minutes; "_gn" with GroupNorm.
ResNet56-half is deep and narrow: 18 blocks at half the width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn
from torchvision import models

from asr_core.asr.insert import insert_asr
from asr_core.asr.report import Report
from asr_core.asr.shared import PARENTS
from asr_core.models.networks.acnet import resnet_acnet
from asr_core.models.networks.group_norm import resnet_group_norm
from asr_core.models.networks.mobilenet_v1 import mobilenet_v1
from asr_core.models.networks.repvgg import repvgg_a0
from asr_core.models.networks.resnet_cifar import resnet_cifar
from asr_core.models.networks.shufflenet_v2 import shufflenet_v2
from asr_core.models.networks.vgg import vgg19_bn
from asr_core.models.networks.vit import vit_b_16, vit_s_16
from asr_core.registry import Registry

SMALL = (32, 96)
"""Sides of the images of CIFAR and STL10."""
VIT = {"activation": "tanh", "psi": 1e-3, "attention_init": 1e-3}


@dataclass(frozen=True)
class Backbone:
    """A network of the paper.

    Attributes:
        make: num_classes -> the plain network, on images (N, 3, H, W).
        targets: names or globs of the layers that take a gate.
        sizes: the sides H = W of the paper's images.
        options: arguments of :func:`asr_core.insert_asr` that differ from its defaults.
        takes_attention: whether ``make`` takes ``attention=``, the name of live attention.
        shared: whether the layers of one parent, which sums their outputs, share a gate.
    """

    make: Callable[..., nn.Module]
    targets: tuple[str, ...]
    sizes: tuple[int, ...] = SMALL
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_attention: bool = False
    shared: bool = False

    def insert(self, model: nn.Module, attention: str = "se", **options: Any) -> Report:
        """:func:`asr_core.insert_asr` at the paper's positions, with the paper's options."""
        shared = PARENTS if self.shared else None
        options = {"targets": self.targets, "shared": shared, **self.options, **options}
        return insert_asr(model, attention, **options)


BACKBONES: Registry[Backbone] = Registry("backbone")


def _resnet_cifar(name: str, make: Callable[..., nn.Module]) -> None:
    # Before the residual add, after the block's last norm (Fig. 1).
    BACKBONES.register(name)(Backbone(make, ("layer*.bn3",), takes_attention=True))


def _resnet(name: str, make: Callable[..., nn.Module], last: str) -> None:
    BACKBONES.register(name)(Backbone(_stock(make), (f"layer*.{last}",), (224,)))


def _vit(name: str, make: Callable[..., nn.Module], size: int) -> None:
    # After attention and after the MLP, before each residual add (Fig. 5).
    targets = ("*.self_attention", "*.mlp.3")
    BACKBONES.register(name)(Backbone(partial(make, image_size=size), targets, (size,), VIT))


def _stock(make: Callable[..., nn.Module]) -> Callable[[int], nn.Module]:
    return lambda num_classes: make(weights=None, num_classes=num_classes)


for _depth in (11, 29, 83, 164):
    _resnet_cifar(f"resnet{_depth}", partial(resnet_cifar, _depth))
    if _depth in (11, 29):
        _resnet_cifar(f"resnet{_depth}_gn", partial(resnet_group_norm, _depth))
_resnet_cifar("resnet56-half", partial(resnet_cifar, 56, planes=(8, 16, 32)))
_resnet_cifar("resnet83_acnet", partial(resnet_acnet, 83))
_resnet("resnet34", models.resnet34, "bn2")
_resnet("resnet50", models.resnet50, "bn3")
_resnet("resnet101", models.resnet101, "bn3")
# Between norm and ReLU: of every convolution (Fig. 2), of the sum of RepVGG's branches, of the
# residual branch's last (Fig. 3), of the depthwise and the pointwise one (Fig. 4).
_NORMS = (1, 4, 8, 11, 15, 18, 21, 24, 28, 31, 34, 37, 41, 44, 47, 50)
BACKBONES.register("vgg19_bn")(Backbone(vgg19_bn, tuple(f"features.{i}" for i in _NORMS)))
BACKBONES.register("repvgg_a0")(
    Backbone(repvgg_a0, ("blocks.*.bn?",), takes_attention=True, shared=True)
)
BACKBONES.register("shufflenet_v2")(Backbone(shufflenet_v2, ("stage*.branch2.6",)))
BACKBONES.register("mobilenet_v1")(Backbone(mobilenet_v1, ("blocks.*.bn1", "blocks.*.bn2")))
_vit("vit_s_16", vit_s_16, 224)
_vit("vit_b_16", vit_b_16, 224)
_vit("vit_b_16_384", vit_b_16, 384)
