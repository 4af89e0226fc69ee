"""The statistics a norm layer uses: its running ones, the batch's, or re-estimated ones.

Networks trained under noise collected their running statistics under it, and a small batch is
itself noise: every table says which statistics it was made with, by the names here. Both context
managers put the model back bit for bit when they end, also after an exception. Inside them a state
dict is not the model's own: save before or after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from robust.norm_noise.layers import norm_layers

RUNNING = "running"
REESTIMATED = "re-estimated"

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def batch_name(size: int) -> str:
    """The name of statistics taken from a batch of ``size`` images, for tables."""
    return f"batch (n = {size})"


def _tracking(model: nn.Module, layers: Targets | None) -> list[_NormBase]:
    return [
        layer
        for layer in norm_layers(model, layers).values()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    ]


@contextlib.contextmanager
def batch_statistics(model: nn.Module, layers: Targets | None = None) -> Iterator[None]:
    """BatchNorm uses the batch at hand, in train and in eval mode; buffers are left untouched.

    Layers that take their statistics from the input anyway (InstanceNorm, GroupNorm, LayerNorm)
    stay as they are; an InstanceNorm that tracks running statistics uses each instance's own.

    Args:
        model: any module; one without BatchNorm is left as it is.
        layers: which norm layers, as in :func:`robust.norm_noise.norm_layers`; None for all.

    Raises:
        TargetError: a pattern of ``layers`` matches no norm layer.
        InputError: in a forward, where a BatchNorm gets one value a channel: it has no variance.
    """
    saved = []
    hooks = []
    try:
        for layer in _tracking(model, layers):
            saved.append((layer, layer.track_running_stats, [layer._buffers[b] for b in _BUFFERS]))
            layer.track_running_stats = False
            for name in _BUFFERS:
                layer._buffers[name] = None
            if isinstance(layer, _BatchNorm):
                hooks.append(layer.register_forward_pre_hook(_check_input))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, tracks, buffers in saved:
            layer.track_running_stats = tracks
            layer._buffers.update(zip(_BUFFERS, buffers, strict=True))


def check_values(features: Tensor, groups: int = 1) -> None:
    """Refuse features (N, C, ...) that have one value a channel in each of ``groups``.

    Raises:
        InputError: it is so; BatchNorm would divide by a variance of 0.
    """
    if features.numel() <= features.shape[1] * groups:
        raise InputError(
            f"BatchNorm gets features of shape {tuple(features.shape)}, in which one value a "
            "channel shares statistics with no other: take a larger batch"
        )


def _check_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    check_values(inputs[0])


@contextlib.contextmanager
def reestimated_statistics(model: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
    """Running statistics are those of ``batches``: the mean over the batches of each one's own.

    The estimate runs ``model`` on each batch without gradient, BatchNorm in train mode and all else
    in eval mode; inside the context the model has the modes that it came with, so put it in eval
    mode first. An attack that is active outside this context is active in the estimate too.

    Args:
        model: any module.
        batches: inputs of the model, such as images (N, 3, H, W), of about equal N.

    Raises:
        InputError: there are no batches.
    """
    layers = [layer for layer in _tracking(model, None) if isinstance(layer, _BatchNorm)]
    saved = [(layer, layer.momentum, [layer._buffers[b] for b in _BUFFERS]) for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    try:
        for layer in layers:
            for name in _BUFFERS:
                buffer = layer._buffers[name]
                layer._buffers[name] = None if buffer is None else buffer.clone()
            layer.reset_running_stats()
            layer.momentum = None  # the cumulative mean
        _estimate(model, layers, batches)
        for module, training in modes:
            module.training = training
        yield
    finally:
        for module, training in modes:
            module.training = training
        for layer, momentum, buffers in saved:
            layer.momentum = momentum
            layer._buffers.update(zip(_BUFFERS, buffers, strict=True))


def _estimate(model: nn.Module, layers: list[_BatchNorm], batches: Iterable[Tensor]) -> None:
    model.eval()
    for layer in layers:
        layer.training = True
    seen = 0
    with torch.no_grad():
        for batch in batches:
            model(batch)
            seen += 1
    if seen == 0:
        raise InputError("no batches to re-estimate the statistics from: give at least one")
