"""Which layers can take a gate, and along which axis of which of their tensors: as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Slot:
    """A tensor of a layer that v multiplies.

    Attributes:
        tensor: its name ("weight").
        dim: the axis that holds output channels.
        groups: with more than one, ``dim`` holds the channels of one group and axis 0 is split
            into the groups (ConvTranspose).
        start: rows of ``dim`` before the first gated one (W_V behind W_Q and W_K).
    """

    tensor: str
    dim: int = 0
    groups: int = 1
    start: int = 0

    def scaled(self, tensor: Tensor, v: Tensor) -> Tensor:
        """``tensor`` with its output channels multiplied by v (C,); strides are kept."""
        if self.start:
            v = torch.cat([v.new_ones(self.start), v])
        shape = [1] * tensor.ndim
        shape[self.dim] = -1
        if self.groups > 1:
            rows = tensor.shape[0] // self.groups
            v = v.reshape(self.groups, -1).repeat_interleave(rows, dim=0)
            shape[0] = tensor.shape[0]
        return tensor * v.reshape(shape)


def _weight_and_bias(layer: nn.Module) -> tuple[Slot, ...]:
    return (Slot("weight"), Slot("bias"))


def _weight(layer: nn.Module) -> tuple[Slot, ...]:
    return (Slot("weight"),)


def _transposed(layer: Any) -> tuple[Slot, ...]:
    return (Slot("weight", dim=1, groups=layer.groups), Slot("bias"))


@dataclass(frozen=True)
class LayerKind:
    """How one kind of layer takes a gate.

    Attributes:
        name: for tables and messages.
        types: the stock classes (subclasses included).
        axis: the channel axis of the layer's output.
        channels: number of output channels of a layer.
        slots: the tensors to multiply; those that are None are left alone.
        affine: name of the flag that says whether the layer has γ and β; with it off they are
            created. Empty where there is no such flag.
    """

    name: str
    types: tuple[type[nn.Module], ...]
    axis: int
    channels: Callable[[Any], int]
    slots: Callable[[Any], tuple[Slot, ...]] = _weight_and_bias
    affine: str = ""


KINDS: tuple[LayerKind, ...] = (
    LayerKind("conv", (nn.Conv1d, nn.Conv2d, nn.Conv3d), 1, lambda m: m.out_channels),
    LayerKind(
        "conv transpose",
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        1,
        lambda m: m.out_channels,
        _transposed,
    ),
    LayerKind("linear", (nn.Linear,), -1, lambda m: m.out_features),
    LayerKind(
        "batch norm",
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
        1,
        lambda m: m.num_features,
        affine="affine",
    ),
    LayerKind(
        "instance norm",
        (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        1,
        lambda m: m.num_features,
        affine="affine",
    ),
    LayerKind("group norm", (nn.GroupNorm,), 1, lambda m: m.num_channels, affine="affine"),
    LayerKind(
        "layer norm",
        (nn.LayerNorm,),
        -1,
        lambda m: m.normalized_shape[-1],
        affine="elementwise_affine",
    ),
    LayerKind(
        "rms norm",
        (nn.RMSNorm,),
        -1,
        lambda m: m.normalized_shape[-1],
        _weight,
        affine="elementwise_affine",
    ),
)


def kind_of(layer: nn.Module) -> LayerKind | None:
    """The kind of ``layer``, or None where it can take no gate."""
    return next((kind for kind in KINDS if isinstance(layer, kind.types)), None)
