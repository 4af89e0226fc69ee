"""A style network on a large picture, tile by tile: the same output in bounded memory."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from styletransfer.network import StyleNetwork

MEMORY = 2**28
"""Bytes that the feature maps of a tile may take: a quarter of a gigabyte."""

_BYTES = 32
"""Of feature maps at their peak, a pixel and a channel of the network's width (measured: 30)."""
_STRIDE = 4


class _Span(NamedTuple):
    """One side of a tile: the pixels that the network sees, and those that are kept."""

    seen: slice
    kept: slice


class _ReachedError(Exception):
    """The input of a layer is known: the rest of the network need not run."""


def in_tiles(network: StyleNetwork, images: Tensor, *, memory: int = MEMORY) -> Tensor:
    """``network(images)``, computed tile by tile where the feature maps would take too much memory.

    Tiles overlap by the network's receptive field, so that there is no seam: outputs differ by
    rounding only. Instance norms first get the statistics of the whole picture, which takes a pass
    up to each of them.

    Args:
        network: in eval mode.
        images: (N, 3, H, W) in [0, 1], H and W multiples of 4.
        memory: bytes that feature maps may take; small tiles of wide networks may take more.
    """
    margin = _margin(network)
    side = int((memory / (_BYTES * network.config["width"])) ** 0.5) // _STRIDE * _STRIDE
    side = max(side, 4 * margin)
    if len(images) * images.shape[2] * images.shape[3] <= side**2:
        return network(images)
    rows, columns = (_spans(length, side - 2 * margin, margin) for length in images.shape[2:])
    output = torch.empty_like(images)
    for image, whole in zip(images.split(1), output.split(1), strict=True):
        tiles = [(row, column) for row in rows for column in columns]
        ready = _with_statistics(network, image, tiles)
        for row, column in tiles:
            part = ready(image[..., row.seen, column.seen])
            whole[..., row.kept, column.kept] = _kept(part, row, column)
    return output


def _margin(network: StyleNetwork) -> int:
    """How far the network looks, in pixels, rounded up to its stride.

    The convolutions before the blocks see 4, 1 and 2 pixels, the two of a block 4 each, those after
    them 2, 1 and 4; upsampling rounds by up to 3. Bilinear upsampling also sees a neighbour, which
    is 4 pixels away at a quarter of the size and 2 at half; smoothing it another, 2 and 1 away.
    """
    looks = 4 + 1 + 2 + 2 * 4 * network.config["blocks"] + 2 + 1 + 4 + 3
    looks += {"nearest": 0, "bilinear": 4 + 2, "binomial": 4 + 2 + 2 + 1}[
        network.config["upsample"]
    ]
    return -(-looks // _STRIDE) * _STRIDE


def _spans(length: int, step: int, margin: int) -> list[_Span]:
    spans = []
    for first in range(0, length, step):
        last = min(length, first + step)
        spans.append(
            _Span(slice(max(0, first - margin), min(length, last + margin)), slice(first, last))
        )
    return spans


def _kept(maps: Tensor, row: _Span, column: _Span) -> Tensor:
    """Of feature maps of a tile, at the picture's size or down to a quarter of it, what is kept."""
    scale = (column.seen.stop - column.seen.start) // maps.shape[3]
    for axis, span in ((2, row), (3, column)):
        start = (span.kept.start - span.seen.start) // scale
        maps = maps.narrow(axis, start, (span.kept.stop - span.kept.start) // scale)
    return maps


def _with_statistics(
    network: StyleNetwork, image: Tensor, tiles: list[tuple[_Span, _Span]]
) -> StyleNetwork:
    """``network``, its instance norms replaced by batch norms with their statistics of ``image``.

    Over what tiles keep, their sums added in float64, norm by norm in the order of the forward.
    """
    if not any(isinstance(module, nn.InstanceNorm2d) for module in network.modules()):
        return network
    ready = copy.deepcopy(network)
    for name, norm in list(ready.named_modules()):
        if not isinstance(norm, nn.InstanceNorm2d):
            continue
        count, sums = 0, torch.zeros(2, norm.num_features, dtype=torch.float64)
        for row, column in tiles:
            x = _kept(_input_of(norm, ready, image[..., row.seen, column.seen]), row, column)
            sums += torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))]).cpu().double()
            count += x.shape[2] * x.shape[3]
        mean, square = sums / count
        fixed = nn.BatchNorm2d(norm.num_features, eps=norm.eps).to(image).eval()
        fixed.load_state_dict(
            {**norm.state_dict(), "running_mean": mean, "running_var": square - mean**2},
            strict=False,
        )
        parent, _, child = name.rpartition(".")
        setattr(ready.get_submodule(parent), child, fixed)
    return ready


def _input_of(layer: nn.Module, network: nn.Module, images: Tensor) -> Tensor:
    def reached(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _ReachedError(inputs[0])

    with layer.register_forward_pre_hook(reached):
        try:
            found: Tensor = network(images)
        except _ReachedError as arrived:
            found = arrived.args[0]
    return found
