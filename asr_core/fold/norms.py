"""The further step: a BatchNorm on running statistics, folded into the layer before it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from asr_core.errors import InputError
from asr_core.layers import KINDS, kind_of, present

_BEFORE = ("conv", "conv transpose", "linear")


def fold_bn(conv: nn.Module, bn: nn.Module) -> nn.Module:
    """A new layer that gives ``bn(conv(x))``, with ``bn`` on its running statistics.

    With s = γ / √(σ² + ε): weight s ⊙ W per output channel, bias s ⊙ (b − μ) + β.

    Args:
        conv: a convolution or transposed one, or a linear layer on (N, C): the channels of a
            BatchNorm are axis 1; not changed.
        bn: the BatchNorm that takes its output; not changed.

    Returns:
        A copy of ``conv``, always with a bias, that keeps dtype, device and memory format.

    Raises:
        InputError: other kinds of layers, a parametrized one (fuse ASR first), unequal widths, or
            a ``bn`` without running statistics.
    """
    kind = kind_of(conv)
    if kind is None or kind.name not in _BEFORE:
        raise InputError(f"cannot fold a norm into {_name(conv)}: it takes a conv or linear layer")
    norm = kind_of(bn)
    if norm is None or norm.name != "batch norm":
        raise InputError(f"cannot fold {_name(bn)}: only a BatchNorm becomes part of a conv")
    if parametrize.is_parametrized(conv) or parametrize.is_parametrized(bn):
        raise InputError("cannot fold a parametrized layer: fuse_asr the model first")
    if kind.channels(conv) != norm.channels(bn):
        raise InputError(
            f"{_name(bn)} over {norm.channels(bn)} channels does not follow a {_name(conv)} "
            f"that has {kind.channels(conv)}"
        )
    layer: Any = copy.deepcopy(conv)
    source: Any = bn
    if source.running_mean is None or source.running_var is None:
        raise InputError(f"{_name(bn)} has no running statistics: its output depends on the batch")
    with torch.no_grad():
        scale = (source.running_var + source.eps).rsqrt()
        if source.weight is not None:
            scale = scale * source.weight
        shift = -source.running_mean * scale
        if source.bias is not None:
            shift = shift + source.bias
        if layer.bias is not None:
            shift = shift + layer.bias * scale
        slot = next(slot for slot in present(layer, kind) if slot.tensor == "weight")
        scale = scale.to(layer.weight.dtype)
        layer.weight.copy_(slot.scaled(layer.weight, scale))
        layer.bias = nn.Parameter(
            shift.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad
        )
    return layer


def fold_conv_bn(model: nn.Module, pairs: Iterable[tuple[str, str]] | None = None) -> nn.Module:
    """A copy of ``model`` in eval mode, with BatchNorms folded and an Identity in their place.

    Args:
        model: a plain model; not changed.
        pairs: dotted names (conv, bn), where the bn's only input is the conv's output; None takes
            the neighbours in each ``nn.Sequential``.

    Raises:
        InputError: a name that is no module, or a pair that :func:`fold_bn` refuses.
    """
    folded = copy.deepcopy(model).eval()
    modules = dict(folded.named_modules())
    for first, second in list(_neighbours(folded)) if pairs is None else pairs:
        for name in (first, second):
            if name not in modules:
                raise InputError(f"no module {name!r} in the model to fold")
        _replace(folded, first, fold_bn(modules[first], modules[second]))
        _replace(folded, second, nn.Identity().eval())
    return folded


def _neighbours(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of a conv or linear layer and the BatchNorm that follows it in a Sequential."""
    before = tuple(t for kind in KINDS if kind.name in _BEFORE for t in kind.types)
    norms = next(kind for kind in KINDS if kind.name == "batch norm").types
    for name, module in model.named_modules():
        if not isinstance(module, nn.Sequential):
            continue
        children = [(f"{name}.{n}".lstrip("."), m) for n, m in module.named_children()]
        for (first, conv), (second, bn) in itertools.pairwise(children):
            statistics = getattr(bn, "running_mean", None) is not None
            if isinstance(conv, before) and isinstance(bn, norms) and statistics:
                yield first, second


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def _name(module: nn.Module) -> str:
    return parametrize.type_before_parametrizations(module).__name__
