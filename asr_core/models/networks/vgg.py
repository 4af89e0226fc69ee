"""VGG19 with BatchNorm for small images (Simonyan & Zisserman 2015, arXiv 1409.1556, table 1)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from asr_core.models.networks.init import he_init


def vgg19_bn(num_classes: int) -> nn.Sequential:
    """Images (N, 3, H, W), sides from 32 -> logits (N, ``num_classes``).

    torchvision's convolutions, then the average over what the five poolings leave and one linear
    layer: 20,040,522 parameters at 10 classes.
    """
    model = nn.Sequential(
        OrderedDict(
            features=make_layers(cfgs["E"], batch_norm=True),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(512, num_classes),
        )
    )
    he_init(model)
    return model
