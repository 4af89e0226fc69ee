"""The sum of convolutions of one input as one convolution, with kernels padded and added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.layers import CONV
from asr_core.errors import InputError

_SAME = ("in_channels", "out_channels", "stride", "groups")


def identity_conv(like: nn.Module) -> nn.Module:
    """The convolution of kernel size 1 that gives its input, otherwise like ``like``, without bias.

    Raises:
        InputError: ``like`` is no stock convolution, or changes the number of channels.
    """
    _require_conv(like)
    conv: Any = like
    if conv.in_channels != conv.out_channels:
        raise InputError(
            f"no identity beside a convolution from {conv.in_channels} to {conv.out_channels} "
            "channels"
        )
    weight = torch.empty(conv.weight.shape[:2] + (1,) * len(conv.kernel_size)).to(conv.weight)
    nn.init.dirac_(weight, groups=conv.groups)
    return _new(conv, weight, None, trained=conv.weight.requires_grad)


def merge_convs(convs: Sequence[nn.Module]) -> nn.Module:
    """A new convolution that gives the sum of the outputs of ``convs`` for the same input.

    Smaller kernels are surrounded by zeros. The outputs must have equal sizes for any input. The
    result has a bias if any of ``convs`` (Conv1d, Conv2d or Conv3d) has one.

    Raises:
        InputError: no convolutions, or they differ in channels, stride, groups, padding mode or
            output size, or their dilations have no common grid.
    """
    if not convs:
        raise InputError("merge_convs takes one or more convolutions, got none")
    for conv in convs:
        _require_conv(conv)
    layers: list[Any] = list(convs)
    first = layers[0]
    for field in ("__class__", *_SAME):
        _require_equal(field, [getattr(layer, field) for layer in layers])
    modes = [layer.padding_mode for layer in layers if any(layer.padding)]
    _require_equal("padding_mode", modes)
    grids = [_grid(layers, axis) for axis in range(len(first.kernel_size))]
    kernel, padding, dilation = zip(*grids, strict=True)
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    return _new(
        first,
        sum(_padded(layer.weight.detach(), kernel) for layer in layers),
        sum(biases) if biases else None,
        trained=any(layer.weight.requires_grad for layer in layers),
        stride=first.stride,
        padding=padding,
        dilation=dilation,
        padding_mode=modes[0] if modes else "zeros",
    )


def _grid(layers: Sequence[Any], axis: int) -> tuple[int, int, int]:
    """Kernel size, padding and dilation along ``axis`` of a kernel that holds all."""
    size = [layer.kernel_size[axis] for layer in layers]
    padding = [layer.padding[axis] for layer in layers]
    # The dilation of a single tap has no effect.
    steps = [layer.dilation[axis] for layer in layers if layer.kernel_size[axis] > 1]
    _require_equal("dilation", steps)
    step = steps[0] if steps else 1
    # How much larger the output is than the input, at stride 1.
    _require_equal(
        f"2 × padding − dilation × (kernel − 1) along axis {axis}",
        [2 * p - step * (k - 1) for k, p in zip(size, padding, strict=True)],
    )
    widest = max(padding)
    if any((widest - p) % step for p in padding):
        raise InputError(
            f"kernels {size} with padding {padding} read inputs between each other's, {step} "
            f"apart along axis {axis}: they fit no common kernel"
        )
    return max(size), widest, step


def _padded(weight: Tensor, kernel: Sequence[int]) -> Tensor:
    """``weight`` in the middle of zeros, of spatial size ``kernel``."""
    pads: list[int] = []
    for size, now in zip(reversed(kernel), reversed(weight.shape), strict=False):
        pads += [(size - now) // 2] * 2
    return nn.functional.pad(weight, pads)


def _new(
    like: Any, weight: Any, bias: Any, *, trained: bool, stride: Any = 1, **geometry: Any
) -> nn.Module:
    """A convolution with these tensors and the class, channels and groups of ``like``."""
    channels = like.in_channels, like.out_channels
    kernel = tuple(weight.shape[2:])
    # On the meta device, initialisation draws nothing from torch's random state.
    conv = type(like)(
        *channels, kernel, stride, groups=like.groups, bias=False, device="meta", **geometry
    )
    conv.weight = nn.Parameter(weight, requires_grad=trained)
    if bias is not None:
        conv.bias = nn.Parameter(bias, requires_grad=trained)
    return conv


def _require_conv(conv: Any) -> None:
    name = parametrize.type_before_parametrizations(conv).__name__
    if parametrize.is_parametrized(conv):
        raise InputError(f"cannot merge a parametrized {name}: fuse_asr the model first")
    if type(conv) not in CONV.types:  # a subclass may do more
        raise InputError(f"cannot merge a {name}: only Conv1d, Conv2d and Conv3d are added up")
    if isinstance(conv.padding, str):
        raise InputError(
            f"cannot merge a {name} with padding={conv.padding!r}: give its padding in numbers"
        )


def _require_equal(field: str, values: Sequence[Any]) -> None:
    if any(value != values[0] for value in values):
        said = [value.__name__ if isinstance(value, type) else str(value) for value in values]
        name = "class" if field == "__class__" else field
        raise InputError(
            f"convolutions of different {name} do not add up to one: {', '.join(said)}"
        )
