"""Batch statistics of many small batches at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from robust.norm_noise.layers import check_plain_affine, norm_layers
from robust.norm_noise.statistics import batch_statistics, check_values


@contextlib.contextmanager
def grouped_statistics(
    model: nn.Module, size: int, layers: Targets | None = None
) -> Iterator[None]:
    """BatchNorm normalises each ``size`` images in a row by their own statistics.

    One forward pass of (G · size, 3, H, W) gives what G passes of ``size`` images give under
    :func:`batch_statistics`, to rounding, at a fraction of their time. Buffers are
    left untouched, and all is undone at the end, also after an exception. A layer that sees several
    rows an image (tokens, or frames) normalises those of ``size`` images.

    Args:
        model: any module; one without BatchNorm is left as it is. Its first tensor is the batch.
        size: images that share statistics, from 1; batches must be multiples of it.
        layers: which norm layers, as in :func:`norm_layers`; None for all.

    Raises:
        InputError: ``size`` is below 1, a batch is no multiple of it, or a layer has one value a
            channel in each group, which has no variance.
        TargetError: a BatchNorm has a forward of its own, or as :func:`norm_layers`.
    """
    if size < 1:
        raise InputError(f"{size} images cannot share statistics; give at least 1")
    found = norm_layers(model, layers)
    norms = {name: layer for name, layer in found.items() if isinstance(layer, _BatchNorm)}
    for name, layer in norms.items():
        check_plain_affine(layer, name)
    images: list[int] = []

    def count(module: nn.Module, inputs: Any, named: Any) -> None:
        images[:] = [len(t) for t in (*inputs, *named.values()) if isinstance(t, Tensor)][:1]

    with batch_statistics(model, layers), contextlib.ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(count, with_kwargs=True).remove)
        for layer in norms.values():
            hook = _by_groups(size, images)
            stack.callback(layer.register_forward_hook(hook, prepend=True).remove)
        yield


def _by_groups(size: int, images: list[int]) -> Callable[[_BatchNorm, Any, Tensor], Tensor]:
    """A hook that normalises by groups; ``images`` holds their number in the model's forward."""

    def normalise(layer: _BatchNorm, inputs: Any, output: Tensor) -> Tensor:
        features: Tensor = inputs[0]
        count = images[0] if images else len(features)
        if count % size:
            raise InputError(f"a batch of {count} images is no multiple of groups of {size}")
        groups = count // size
        if groups == 1:
            return output
        if len(features) % groups:
            raise InputError(
                f"{type(layer).__name__} gets {len(features)} rows of {count} images, which "
                f"cannot be told apart by groups of {size}"
            )
        check_values(features, groups)
        # Each group's channels become channels of their own: (G · n, C, …) -> (n, G · C, …).
        side = features.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)
        weight, bias = (
            None if p is None else p.repeat(groups).to(side.dtype)
            for p in (layer.weight, layer.bias)
        )
        found = F.batch_norm(side, None, None, weight, bias, training=True, eps=layer.eps)
        return found.unflatten(1, (groups, -1)).transpose(0, 1).reshape(features.shape)

    return normalise
