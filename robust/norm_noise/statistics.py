"""The statistics that a norm layer uses: running, the batch's, a blend of both, or re-estimated.

A network that was trained under noise collected its running statistics under it, and a small batch
is itself noise. So every table names the statistics that it was made with
(:class:`robust.norm_noise.adaptation.Statistics`). The context managers restore the model bit for
bit when they end, also after an exception. Inside them the state dict is not the model's own: save
before or after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from robust.norm_noise.layers import check_plain_affine, norm_layers

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def _tracking(model: nn.Module, layers: Targets | None) -> dict[str, _NormBase]:
    return {
        name: layer
        for name, layer in norm_layers(model, layers).items()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    }


@contextlib.contextmanager
def batch_statistics(
    model: nn.Module, size: int | None = None, *, layers: Targets | None = None
) -> Iterator[None]:
    """BatchNorm uses the batch at hand, in train and in eval mode; buffers are left untouched.

    With ``size`` each ``size`` images in a row share statistics: one forward of (G · size, 3, H, W)
    gives what G forwards of ``size`` images give, to rounding, in a fraction of the time. A layer
    that sees several rows an image (tokens, or frames) normalises the rows of ``size`` images.

    Layers that take their statistics from the input anyway (InstanceNorm, GroupNorm, LayerNorm)
    stay as they are; an InstanceNorm that tracks running statistics uses each instance's own.

    Args:
        model: any module; one without BatchNorm is left as it is. Its first tensor is the batch.
        size: how many images share statistics, from 1; None for all of a batch.
        layers: which norm layers, as in :func:`robust.norm_noise.norm_layers`; None for all.

    Raises:
        TargetError: a pattern of ``layers`` matches no norm layer, or, with ``size``, a BatchNorm
            has a forward of its own.
        InputError: ``size`` is below 1. In a forward: the batch is no multiple of ``size``, or a
            BatchNorm gets one value a channel, which has no variance.
    """
    norms = _batch_norms(model, size, layers, plain=size is not None)
    with contextlib.ExitStack() as stack:
        for tracking in _tracking(model, layers).values():
            buffers = tracking._buffers
            stack.callback(buffers.update, {name: buffers[name] for name in _BUFFERS})
            stack.callback(setattr, tracking, "track_running_stats", tracking.track_running_stats)
            tracking.track_running_stats = False
            buffers.update(dict.fromkeys(_BUFFERS))
        for layer in norms:
            stack.callback(layer.register_forward_pre_hook(_check_input).remove)
        if size is not None:
            stack.enter_context(_by_groups(model, norms, size, _alone))
        yield


@contextlib.contextmanager
def blended_statistics(
    model: nn.Module, prior: int, size: int, *, layers: Targets | None = None
) -> Iterator[None]:
    """BatchNorm uses the mean of its running statistics, weight ``prior``, and of ``size`` images.

    Mean and variance are (N · running + n · batch) / (N + n), N being ``prior`` and n ``size``: the
    running statistics count as so many images. N = 0 are the batch's own
    (:func:`batch_statistics`), and large N the running ones. A BatchNorm without running statistics
    keeps those of all its input.

    Args:
        model: any module; one without BatchNorm is left as it is. Its first tensor is the batch.
        prior: N, from 0.
        size: n, how many images in a row share statistics, from 1.
        layers: as in :func:`batch_statistics`.

    Raises:
        TargetError, InputError: as :func:`batch_statistics`, or ``prior`` is below 0.

    Source: Schneider et al., "Improving robustness against common corruptions by covariate shift
    adaptation" (NeurIPS 2020, arXiv 2006.16971), eq. 2.
    """
    if prior < 0:
        raise InputError(f"a weight of {prior} images is below 0")
    if prior == 0:
        blend = batch_statistics(model, size, layers=layers)
    else:
        norms = _batch_norms(model, size, layers, plain=True)
        tracking = [layer for layer in norms if layer.running_mean is not None]
        blend = _by_groups(model, tracking, size, partial(_blended, prior, size))
    with blend:
        yield


def _batch_norms(
    model: nn.Module, size: int | None, layers: Targets | None, *, plain: bool
) -> list[_BatchNorm]:
    """The BatchNorms; if ``plain``, their forward does nothing but normalise."""
    if size is not None and size < 1:
        raise InputError(f"{size} images cannot share statistics; give at least 1")
    norms = [(n, m) for n, m in norm_layers(model, layers).items() if isinstance(m, _BatchNorm)]
    for name, layer in norms if plain else ():
        check_plain_affine(layer, name)
    return [layer for _, layer in norms]


@contextlib.contextmanager
def _forward(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """``layer`` computes ``forward``: hooks see its output as the layer's own, unlike a hook's."""
    before = vars(layer).get("forward")
    layer.forward = forward
    try:
        yield
    finally:
        if before is None:
            del layer.forward
        else:
            layer.forward = before


Normalise = Callable[[_BatchNorm, Tensor, Tensor | None, Tensor | None, int], Tensor]
"""``normalise(layer, side, weight, bias, groups)`` for features (n, groups · C, …)."""


@contextlib.contextmanager
def _by_groups(
    model: nn.Module, norms: Sequence[_BatchNorm], size: int, normalise: Normalise
) -> Iterator[None]:
    """Each ``size`` images in a row are normalised by themselves in the layers ``norms``."""
    images: list[int] = []

    def count(module: nn.Module, inputs: Any, named: Any) -> None:
        images[:] = [len(t) for t in (*inputs, *named.values()) if isinstance(t, Tensor)][:1]

    with contextlib.ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(count, with_kwargs=True).remove)
        for layer in norms:
            stack.enter_context(_forward(layer, _grouped(layer, size, images, normalise)))
        yield


def _grouped(
    layer: _BatchNorm, size: int, images: list[int], normalise: Normalise
) -> Callable[[Tensor], Tensor]:
    """The forward by groups; ``images`` holds the number of images in the model's forward."""

    def forward(features: Tensor) -> Tensor:
        count = images[0] if images else len(features)
        if count % size:
            raise InputError(f"a batch of {count} images is no multiple of groups of {size}")
        groups = count // size
        if groups == 1 and normalise is _alone:
            return type(layer).forward(layer, features)
        if len(features) % groups:
            raise InputError(
                f"{type(layer).__name__} gets {len(features)} rows of {count} images, which "
                f"cannot be told apart by groups of {size}"
            )
        if normalise is _alone:
            _check_values(features, groups)
        # Each group's channels become channels of their own: (G · n, C, …) -> (n, G · C, …).
        side = features.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)
        weight, bias = (
            None if p is None else p.repeat(groups).to(side.dtype)
            for p in (layer.weight, layer.bias)
        )
        normal = normalise(layer, side, weight, bias, groups)
        return normal.unflatten(1, (groups, -1)).transpose(0, 1).reshape(features.shape)

    return forward


def _alone(
    layer: _BatchNorm, side: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int
) -> Tensor:
    return F.batch_norm(side, None, None, weight, bias, training=True, eps=layer.eps)


def _blended(
    prior: int,
    size: int,
    layer: _BatchNorm,
    side: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    groups: int,
) -> Tensor:
    # Not by F.batch_norm, which gives no gradient to given statistics.
    wide = side.to(torch.promote_types(side.dtype, torch.float32))
    shape = (1, -1, *(1,) * (side.dim() - 2))
    axes = [0, *range(2, side.dim())]
    share = prior / (prior + size)
    var, mean = (
        share * running.repeat(groups).to(own) + (1 - share) * own
        for running, own in zip(
            (cast(Tensor, layer.running_var), cast(Tensor, layer.running_mean)),
            torch.var_mean(wide, axes, correction=0),
            strict=True,
        )
    )
    normal = (wide - mean.view(shape)) * (var + layer.eps).rsqrt().view(shape)
    if weight is not None:
        normal = normal * weight.view(shape)
    if bias is not None:
        normal = normal + bias.view(shape)
    return normal.to(side.dtype)


def _check_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    _check_values(inputs[0], 1)


def _check_values(features: Tensor, groups: int) -> None:
    """Refuse features (N, C, ...) with one value a channel in each group: their variance is 0."""
    if features.numel() <= features.shape[1] * groups:
        raise InputError(
            f"BatchNorm gets features of shape {tuple(features.shape)}, in which one value a "
            "channel shares statistics with no other: take a larger batch"
        )


@contextlib.contextmanager
def reestimated_statistics(model: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
    """Running statistics are those of ``batches``: the mean over the batches of each one's own.

    The estimate runs ``model`` on each batch without gradient, BatchNorm in train mode and all else
    in eval mode. Then each module has the mode that it came with, so put the model into eval mode
    first. Noise that is active around this context is active in the estimate too.

    Args:
        model: any module.
        batches: inputs of the model, such as images (N, 3, H, W), of about equal N.

    Raises:
        InputError: there are no batches.
    """
    layers = [m for m in _tracking(model, None).values() if isinstance(m, _BatchNorm)]
    modes = [(module, module.training) for module in model.modules()]

    def restore_modes() -> None:
        for module, training in modes:
            module.training = training

    with contextlib.ExitStack() as stack:
        stack.callback(restore_modes)
        for layer in layers:
            stack.callback(layer._buffers.update, {b: layer._buffers[b] for b in _BUFFERS})
            stack.callback(setattr, layer, "momentum", layer.momentum)
            for name in _BUFFERS:
                buffer = layer._buffers[name]
                layer._buffers[name] = None if buffer is None else buffer.clone()
            layer.reset_running_stats()
            layer.momentum = None  # the cumulative mean
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
        restore_modes()
        yield
