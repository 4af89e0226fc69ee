"""Activations by canonical name, the same for modules, functions and tensor methods.

It has no underscores, capitals or number of dimensions: "AdaptiveAvgPool2d" and
"adaptive_avg_pool2d" are "adaptiveavgpool".
"""

from __future__ import annotations

import re

from torch import nn

# Without sigmoids, which are gates of attention rather than activations.
ACTIVATIONS = frozenset(
    (
        *("relu", "relu6", "leakyrelu", "prelu", "rrelu", "elu", "celu", "selu"),
        *("gelu", "gelutanh", "quickgelu", "silu", "swish", "mish"),
        *("hardswish", "hardmish", "hardtanh", "softplus", "tanh"),
    )
)


def canonical(name: str) -> str:
    """The canonical name of a module's class, a function or a tensor method."""
    return re.sub(r"\dd$", "", name.replace("_", "").lower())


def is_activation(module: nn.Module) -> bool:
    """Whether ``module`` is an activation, torch's or one of the same name."""
    return canonical(type(module).__name__) in ACTIVATIONS


def carries_activation(layer: nn.Module) -> bool:
    """Whether ``layer`` ends in an activation (timm's BatchNormAct2d)."""
    return any(is_activation(child) for child in layer.children())
