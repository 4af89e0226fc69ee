"""The paper's backbones: torchvision's where it has them, and what it lacks."""

from asr_core.models.backbones import BACKBONES, Backbone
from asr_core.models.build import GATED, MODES, build
from asr_core.models.live import add_attention
from asr_core.models.named import build_named
from asr_core.models.networks.acnet import AsymmetricConv, resnet_acnet
from asr_core.models.networks.mobilenet_v1 import MobileNetV1, mobilenet_v1
from asr_core.models.networks.repvgg import RepVGG, repvgg_a0
from asr_core.models.networks.resnet_cifar import ResNetCIFAR, resnet_cifar
from asr_core.models.networks.shufflenet_v2 import shufflenet_v2
from asr_core.models.networks.vgg import vgg19_bn
from asr_core.models.networks.vit import vit_b_16, vit_s_16
from asr_core.models.normalized import Normalized

__all__ = [
    "BACKBONES",
    "GATED",
    "MODES",
    "AsymmetricConv",
    "Backbone",
    "MobileNetV1",
    "Normalized",
    "RepVGG",
    "ResNetCIFAR",
    "add_attention",
    "build",
    "build_named",
    "mobilenet_v1",
    "repvgg_a0",
    "resnet_acnet",
    "resnet_cifar",
    "shufflenet_v2",
    "vgg19_bn",
    "vit_b_16",
    "vit_s_16",
]
