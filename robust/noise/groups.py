"""Batch statistics of many small batches at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.errors import InputError
from robust.noise.layers import check_plain_affine, norm_layers
from robust.noise.statistics import batch_statistics


@contextlib.contextmanager
def grouped_statistics(model: nn.Module, size: int) -> Iterator[None]:
    """BatchNorm normalises each ``size`` images in a row by their own statistics.

    One forward pass of (G · size, 3, H, W) gives what G passes of ``size`` images give under
    :func:`robust.noise.batch_statistics`, to rounding, at a fraction of their time. Buffers are
    left untouched, and all is undone at the end, also after an exception.

    Args:
        model: any module; one without BatchNorm is left as it is.
        size: images that share statistics, from 1; batches must be multiples of it.

    Raises:
        InputError: ``size`` is below 1, or a batch is no multiple of it.
        TargetError: a BatchNorm has a forward of its own.
    """
    if size < 1:
        raise InputError(f"{size} images cannot share statistics; give at least 1")
    layers = {n: layer for n, layer in norm_layers(model).items() if isinstance(layer, _BatchNorm)}
    for name, layer in layers.items():
        check_plain_affine(layer, name)
    with batch_statistics(model), contextlib.ExitStack() as stack:
        for layer in layers.values():
            stack.callback(layer.register_forward_hook(_by_groups(size), prepend=True).remove)
        yield


def _by_groups(size: int) -> Callable[[_BatchNorm, Any, Tensor], Tensor]:
    def normalise(layer: _BatchNorm, inputs: Any, output: Tensor) -> Tensor:
        features: Tensor = inputs[0]
        count = len(features)
        if count % size:
            raise InputError(f"a batch of {count} images is no multiple of groups of {size}")
        groups = count // size
        # Each group's channels become channels of their own: (G · n, C, …) -> (n, G · C, …).
        side = features.unflatten(0, (groups, size)).transpose(0, 1).flatten(1, 2)
        weight, bias = (
            None if p is None else p.repeat(groups).to(side.dtype)
            for p in (layer.weight, layer.bias)
        )
        found = F.batch_norm(side, None, None, weight, bias, training=True, eps=layer.eps)
        return found.unflatten(1, (groups, -1)).transpose(0, 1).reshape(features.shape)

    return normalise
