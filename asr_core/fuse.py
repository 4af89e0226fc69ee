"""Folding ASR away: the model is the plain backbone again, with v in its parameters."""

from __future__ import annotations

import copy

import torch
from torch import nn

from asr_core.gate import Gate
from asr_core.parametrization import detach


def fuse_asr(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The plain model with every gate folded into its layer; a copy unless ``inplace``."""
    if not inplace:
        model = copy.deepcopy(model)
    gated = [m for m in model.modules() if isinstance(m._modules.get("asr"), Gate)]
    with torch.no_grad():
        fused = [{n: getattr(layer, n).clone() for n in layer.parametrizations} for layer in gated]  # type: ignore[union-attr,operator]
    for layer, parameters in zip(gated, fused, strict=True):
        detach(layer, parameters)
    return model
