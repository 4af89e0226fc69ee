"""Which layers can take a gate, and along which axis of which of their tensors: as data."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

Side = Literal["output", "input"]
"""Whether v multiplies a layer's output or its input."""
Family = Literal["norm", "conv", "linear"]


@dataclass(frozen=True)
class Slot:
    """A tensor of a layer that v multiplies.

    Attributes:
        tensor: its name ("weight").
        dim: the axis of the channels.
        groups: if above 1, ``dim`` has the channels of one group and axis 0 is divided into the
            groups (ConvTranspose).
        start: rows of ``dim`` before the first gated one (W_V after W_Q and W_K).
    """

    tensor: str
    dim: int = 0
    groups: int = 1
    start: int = 0

    def factor(self, tensor: Tensor, v: Tensor) -> Tensor:
        """v (C,) in a shape that broadcasts against ``tensor``."""
        if self.start:
            v = torch.cat([v.new_ones(self.start), v])
        if tensor.ndim == 1:
            return v
        shape = [1] * tensor.ndim
        shape[self.dim] = -1
        if self.groups > 1:
            rows = tensor.shape[0] // self.groups
            v = v.reshape(self.groups, -1).repeat_interleave(rows, dim=0)
            shape[0] = tensor.shape[0]
        return v.reshape(shape)

    def scaled(self, tensor: Tensor, v: Tensor) -> Tensor:
        """``tensor`` with its channels multiplied by v; strides are kept."""
        return tensor * self.factor(tensor, v)


def _weight_and_bias(layer: Any) -> tuple[Slot, ...]:
    return (Slot("weight"), Slot("bias"))


def _weight(layer: Any) -> tuple[Slot, ...]:
    return (Slot("weight"),)


def _transposed(layer: Any) -> tuple[Slot, ...]:
    return (Slot("weight", dim=1, groups=layer.groups), Slot("bias"))


def _columns(layer: Any) -> tuple[Slot, ...]:
    return (Slot("weight", dim=1, groups=getattr(layer, "groups", 1)),)


def _values(layer: Any) -> tuple[Slot, ...]:
    """W_V and its biases: the last third of the joint projection, or a matrix of its own."""
    before = 2 * layer.embed_dim
    joint = Slot("in_proj_weight", start=before)
    weight = joint if layer.in_proj_weight is not None else Slot("v_proj_weight")
    return (weight, Slot("in_proj_bias", start=before), Slot("bias_v", dim=2))


def _one_axis(layer: Any) -> str:
    if len(layer.normalized_shape) == 1:
        return ""
    shape = tuple(layer.normalized_shape)
    return f"it normalises over {shape}, which does not say which axis holds the channels"


@dataclass(frozen=True)
class LayerKind:
    """How one kind of layer takes a gate.

    Attributes:
        name: for tables and messages.
        family: kinds that placement and synthetic inputs treat alike.
        types: the stock classes, subclasses included.
        axis: the channel axis of the layer's output, and of its input.
        channels: number of output channels of a layer.
        slots: the tensors to multiply; those that are None are left alone.
        in_channels: number of input channels of a layer.
        inputs: the tensors to multiply for v on the layer's input; empty if v cannot go there.
        affine: for norms, the name of the flag for γ and β.
        refusal: why a layer of this kind can take no gate; "" if it can.
    """

    name: str
    family: Family
    types: tuple[type[nn.Module], ...]
    axis: int
    channels: Callable[[Any], int]
    slots: Callable[[Any], tuple[Slot, ...]] = _weight_and_bias
    in_channels: Callable[[Any], int] = lambda layer: 0
    inputs: Callable[[Any], tuple[Slot, ...]] = lambda layer: ()
    affine: str = ""
    refusal: Callable[[Any], str] = lambda layer: ""

    def width(self, layer: nn.Module, side: Side) -> int:
        """Number of channels of the layer's output or input."""
        return self.channels(layer) if side == "output" else self.in_channels(layer)


CONV = LayerKind(
    "conv",
    "conv",
    (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    1,
    lambda m: m.out_channels,
    in_channels=lambda m: m.in_channels,
    inputs=_columns,
)
CONV_TRANSPOSE = LayerKind(
    "conv transpose",
    "conv",
    (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    1,
    lambda m: m.out_channels,
    _transposed,
    in_channels=lambda m: m.in_channels,
    inputs=_weight,  # (in, out / groups, ...)
)
LINEAR = LayerKind(
    "linear",
    "linear",
    (nn.Linear,),
    -1,
    lambda m: m.out_features,
    in_channels=lambda m: m.in_features,
    inputs=_columns,
)
BATCH_NORM = LayerKind(
    "batch norm",
    "norm",
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    1,
    lambda m: m.num_features,
    affine="affine",
)
VALUES = LayerKind("values", "linear", (nn.MultiheadAttention,), -1, lambda m: m.embed_dim, _values)
"""W_V of an attention that has no output projection."""

KINDS: tuple[LayerKind, ...] = (
    CONV,
    CONV_TRANSPOSE,
    LINEAR,
    BATCH_NORM,
    LayerKind(
        "instance norm",
        "norm",
        (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        1,
        lambda m: m.num_features,
        affine="affine",
    ),
    LayerKind("group norm", "norm", (nn.GroupNorm,), 1, lambda m: m.num_channels, affine="affine"),
    LayerKind(
        "layer norm",
        "norm",
        (nn.LayerNorm,),
        -1,
        lambda m: m.normalized_shape[-1],
        affine="elementwise_affine",
        refusal=_one_axis,
    ),
    LayerKind(
        "rms norm",
        "norm",
        (nn.RMSNorm,),
        -1,
        lambda m: m.normalized_shape[-1],
        _weight,
        affine="elementwise_affine",
        refusal=_one_axis,
    ),
    VALUES,
)


def kind_of(layer: nn.Module) -> LayerKind | None:
    """The kind of ``layer``, or None where it can take no gate."""
    return next((kind for kind in KINDS if isinstance(layer, kind.types)), None)


def refusal_of(layer: nn.Module) -> str:
    """Why a layer like ``layer`` can take no gate; "" if it can."""
    kind = kind_of(layer)
    if kind is None:
        return f"a {type(layer).__name__} has no output-channel parameters to fold a gate into"
    if any(isinstance(p, UninitializedParameter) for p in layer.parameters()):
        return "its parameters have no shape yet: run one forward pass first"
    return kind.refusal(layer)


def gated_layer(name: str, module: nn.Module) -> tuple[str, nn.Module]:
    """The layer that takes the gate for ``module``: itself, or attention's out_proj."""
    if isinstance(module, nn.MultiheadAttention):
        output = module._modules.get("out_proj")
        if isinstance(output, nn.Linear):
            return f"{name}.out_proj" if name else "out_proj", output
    return name, module


def lacks_scale(layer: nn.Module) -> bool:
    """Whether ``layer`` is a norm without γ, which has no parameter for v."""
    kind = kind_of(layer)
    return kind is not None and kind.family == "norm" and getattr(layer, "weight", None) is None


def slots_of(
    layer: nn.Module, created: Container[str] = (), side: Side = "output"
) -> tuple[Slot, ...]:
    """The tensors that v multiplies: those that ``layer`` has, or that will be ``created``."""
    kind = kind_of(layer)
    if kind is None:
        return ()
    return tuple(
        slot
        for slot in (kind.slots(layer) if side == "output" else kind.inputs(layer))
        if slot.tensor in created or getattr(layer, slot.tensor, None) is not None
    )
