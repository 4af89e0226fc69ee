"""Norm layers that end in an activation (timm's BatchNormAct2d), for noise between the two."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.graph.activations import carries_activation

Model = TypeVar("Model", bound=nn.Module)
PARTS = ("drop", "act")
"""What a BatchNormAct2d applies after the norm, by the names of its modules, in order."""


def apart(model: Model) -> Model:
    """A copy in which such a layer is a sequence of the norm, ``norm``, and what follows it.

    It computes the same. Noise and statistics then reach the norm alone. Where there is none, the
    answer is ``model`` itself.
    """
    if not any(map(_is_joined, model.modules())):
        return model
    model = copy.deepcopy(model)
    sequences: dict[nn.Module, nn.Module] = {}  # a layer under two names stays one
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):  # named_children skips second names
            if child is not None and _is_joined(child):
                if child not in sequences:
                    sequences[child] = _split(child)
                setattr(module, name, sequences[child])
    return model


def _is_joined(layer: nn.Module) -> bool:
    return (
        isinstance(layer, _BatchNorm)
        and [name for name, _ in layer.named_children()] == list(PARTS)
        and (carries_activation(layer) or isinstance(layer.act, nn.Identity))
    )


def _split(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, _BatchNorm)
    norm = nn.BatchNorm2d(
        layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
    )
    norm._parameters = layer._parameters
    norm._buffers = layer._buffers
    norm.train(layer.training)
    parts = [(name, getattr(layer, name)) for name in PARTS]
    return nn.Sequential(OrderedDict([("norm", norm), *parts]))
