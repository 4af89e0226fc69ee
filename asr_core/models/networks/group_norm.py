"""GroupNorm in place of BatchNorm (Wu and He 2018, arXiv 1803.08494): no statistics of a batch."""

from __future__ import annotations

import math

from torch import nn

from asr_core.models.networks.resnet_cifar import ResNetCIFAR, resnet_cifar

GROUP = 16
"""Channels in a group, one of the two fixed choices of the paper (its Table 3)."""


def resnet_group_norm(depth: int, num_classes: int, *, attention: str | None = None) -> ResNetCIFAR:
    """:func:`asr_core.models.resnet_cifar` with GroupNorm: batch noise cannot reach it.

    Each norm has the name and the parameters (γ = 1, β = 0) of the BatchNorm that it replaces, and
    groups of 16 channels.

    Raises:
        InputError: a depth that is not 9n + 2, or an unknown attention module.
    """
    model = resnet_cifar(depth, num_classes, attention=attention)
    for name, norm in list(model.named_modules()):
        if type(norm) is nn.BatchNorm2d:
            channels = norm.num_features
            groups = channels // math.gcd(channels, GROUP)
            model.set_submodule(name, nn.GroupNorm(groups, channels))
    return model
