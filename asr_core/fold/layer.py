"""A layer and the BatchNorm after it as one layer."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.layers import BATCH_NORM, CONV, CONV_TRANSPOSE, LINEAR, Slot, kind_of, slots_of
from asr_core.errors import InputError
from asr_core.fold.axes import axes_of, possible_axes
from asr_core.modules.copies import become, copy_model
from asr_core.placement.changes import unfit

BEFORE = (CONV, CONV_TRANSPOSE, LINEAR)
"""Kinds of layers that a BatchNorm can be folded into."""


@torch.no_grad()
def fold_bn(conv: nn.Module, bn: nn.Module) -> nn.Module:
    """A new layer that gives ``bn(conv(x))``, with ``bn`` on its running statistics.

    With s = γ / √(σ² + ε): weight s ⊙ W per output channel, bias s ⊙ (b − μ) + β, in float64 and
    rounded once. Of a norm that ends in an activation (timm's BatchNormAct2d), the part before it.

    Args:
        conv: a convolution or transposed one on (N, C, ...), or a linear layer on (N, C): the
            channels of a BatchNorm are axis 1; not changed.
        bn: the BatchNorm that takes its output; not changed.

    Returns:
        A copy of ``conv``, always with a bias, that keeps dtype, device and memory format.

    Raises:
        InputError: layers of other kinds or of subclasses, parametrized (fuse ASR first), with
            hooks or tensors other than plain parameters, or on several devices; unequal widths or
            axes; a ``bn`` without running statistics; or results beyond ``conv``'s dtype.
    """
    kind = kind_of(conv)
    if kind is None or kind not in BEFORE:
        raise InputError(f"cannot fold a norm into {_name(conv)}: it takes a conv or linear layer")
    if kind_of(bn) is not BATCH_NORM:
        raise InputError(f"cannot fold {_name(bn)}: only a BatchNorm becomes part of a conv")
    for part in (conv, bn):
        if reason := unfit(part):
            raise InputError(f"cannot fold: the {_name(part)} {reason}")
    channels, width = kind.channels(conv), BATCH_NORM.channels(bn)
    if channels != width:
        raise InputError(
            f"{_name(bn)} over {width} channels does not follow a {_name(conv)} that has {channels}"
        )
    if axes_of(conv) not in possible_axes(conv, bn):
        raise InputError(f"the channels of a {_name(bn)} are another axis than a {_name(conv)}'s")
    source: Any = bn
    if source.running_mean is None or source.running_var is None:
        raise InputError(f"{_name(bn)} has no running statistics: its output depends on the batch")
    devices = {t.device for layer in (conv, bn) for t in (*layer.parameters(), *layer.buffers())}
    if len(devices) > 1 or devices.pop().type == "meta":
        raise InputError(
            f"cannot fold: the {_name(conv)} and the {_name(bn)} are not on one device, or on meta"
        )
    layer: Any = copy.deepcopy(conv)
    gamma, beta = _exact(source.weight, 1.0), _exact(source.bias, 0.0)
    scale = gamma / (_exact(source.running_var) + source.eps).sqrt()
    shift = scale * (_exact(layer.bias, 0.0) - _exact(source.running_mean)) + beta
    slot = next(slot for slot in slots_of(layer) if slot.tensor == "weight")
    weight = slot.scaled(_exact(layer.weight), scale)
    like = layer.weight
    _require_held(layer, _by_channel(weight, slot))
    _require_held(layer, shift[None])
    for name, exact in (("weight", weight), ("bias", shift)):
        value = exact.to(like.device, like.dtype)
        setattr(layer, name, nn.Parameter(value, requires_grad=like.requires_grad))
    return layer


def fold_pairs(model: nn.Module, pairs: Iterable[tuple[str, str]]) -> nn.Module:
    """A copy of ``model`` in eval mode with ``pairs`` folded, unchecked."""
    folded = copy_model(model).eval()
    for conv, bn in pairs:
        layer, norm = folded.get_submodule(conv), folded.get_submodule(bn)
        become(layer, fold_bn(layer, norm))
        become(norm, _rest(norm))
    return folded


def _rest(norm: nn.Module) -> nn.Module:
    """The part of a norm after its normalisation."""
    own = dict(norm.named_children())
    children = [(name, own[name]) for name in ("drop", "act") if name in own]
    rest = nn.Sequential(OrderedDict(children)) if children else nn.Identity()
    return rest.train(norm.training)


def _exact(tensor: Tensor | None, default: float = 0.0) -> Tensor:
    """``tensor`` in float64, on the CPU, since not all devices have that; strides are kept."""
    if tensor is None:
        return torch.tensor(default, dtype=torch.float64)
    return tensor.detach().to("cpu", torch.float64)


def _by_channel(weight: Tensor, slot: Slot) -> Tensor:
    """``weight`` with a row for each output channel."""
    if slot.dim == 1:  # transposed: (in, out / groups, ...)
        weight = weight.unflatten(0, (slot.groups, -1)).transpose(1, 2).flatten(0, 1)
    return weight.flatten(1)


def _require_held(layer: Any, rows: Tensor) -> None:
    """Refuse rows that overflow in the layer's dtype, or vanish among its subnormal numbers."""
    dtype = layer.weight.dtype
    error = (rows.to(dtype).double() - rows).abs().amax(1)
    # Negated, so that NaN counts as a difference.
    if not bool((error <= torch.finfo(dtype).eps * rows.abs().amax(1)).all()):
        raise InputError(
            f"cannot fold: with the norm's scale the {_name(layer)}'s tensors are not finite, or "
            f"beyond {dtype}"
        )


def _name(module: nn.Module) -> str:
    return parametrize.type_before_parametrizations(module).__name__
