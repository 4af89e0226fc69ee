"""Stylising pictures of any size, and the folded network that does it fast."""

from __future__ import annotations

import statistics
import time
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asr_core import fold_conv_bn, fuse_asr
from asr_core.errors import InputError
from styletransfer.network import ConvLayer, StyleNetwork
from styletransfer.tiles import in_tiles

_STRIDE = 4


@torch.inference_mode()
def stylize(network: nn.Module, images: Tensor) -> Tensor:
    """Stylise (N, 3, H, W) in [0, 1]; any H, W of at least 16.

    Sides that are no multiple of 4 are padded by reflection and cropped again. Large pictures are
    computed in tiles (:func:`styletransfer.tiles.in_tiles`), so that beside the pictures no more
    than half a gigabyte is used. The network runs in its own mode; as loaded that is eval mode.

    Raises:
        InputError: another shape, or a side under 16.
    """
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < 16:
        raise InputError(
            f"images must be (N, 3, H, W) with sides of 16 or more, got {tuple(images.shape)}"
        )
    height, width = images.shape[-2:]
    padding = (0, -width % _STRIDE, 0, -height % _STRIDE)
    padded = F.pad(images, padding, mode="reflect") if any(padding) else images
    if isinstance(network, StyleNetwork) and not network.training:
        return in_tiles(network, padded)[..., :height, :width].clamp_(0, 1)  # its own: no copy
    return network(padded)[..., :height, :width].clamp(0, 1)


def fold_network(network: StyleNetwork) -> StyleNetwork:
    """A copy for inference: ASR fused, every batch norm folded into its convolution, channels last.

    The last convolution computes neighbouring columns together (:class:`ColumnsConv`).

    Outputs agree with ``network`` in eval mode up to rounding.

    Raises:
        InputError: instance norm depends on the picture and cannot be folded.
        ParityError: the fused network does not agree.
    """
    if network.config["norm"] == "in":
        raise InputError("instance norm cannot be folded: its scale depends on the picture")
    plain = fuse_asr(network)
    folded = cast(StyleNetwork, fold_conv_bn(plain, _conv_norm_pairs(network)))
    folded.set_submodule("deconv3", ColumnsConv(folded.deconv3))
    return folded.to(memory_format=torch.channels_last)


class ColumnsConv(nn.Module):
    """A :class:`~styletransfer.network.ConvLayer` of stride 1, faster where it has few outputs.

    Three output channels leave most of a processor's vector unit idle. This makes four neighbouring
    columns at once, as channels, by shifted copies of the kernel, and sets them side by side:
    (N, C, H, W) -> (N, C', H, W), W a multiple of 4. Outputs agree up to rounding.
    """

    def __init__(self, layer: ConvLayer) -> None:
        super().__init__()
        self.reflection_pad, conv = layer.reflection_pad, layer.conv2d
        height, width = conv.kernel_size
        self.conv2d = nn.Conv2d(
            conv.in_channels, conv.out_channels * _STRIDE, (height, width + _STRIDE - 1),
            stride=(1, _STRIDE), device=conv.weight.device, dtype=conv.weight.dtype,
        )  # fmt: skip
        shifted = [F.pad(conv.weight, (k, _STRIDE - 1 - k)) for k in range(_STRIDE)]
        with torch.no_grad():
            self.conv2d.weight.copy_(torch.stack(shifted, 1).flatten(0, 1))
            cast(Tensor, self.conv2d.bias).copy_(cast(Tensor, conv.bias).repeat_interleave(_STRIDE))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        columns = self.conv2d(self.reflection_pad(x)).unflatten(1, (-1, _STRIDE))
        return columns.permute(0, 1, 3, 4, 2).flatten(3)


@torch.inference_mode()
def speed_ratio(
    first: nn.Module, second: nn.Module, images: Tensor, *, rounds: int = 5
) -> tuple[float, float]:
    """Median seconds that :func:`stylize` takes with each network, in turns after a warm-up.

    Args:
        first, second: networks in eval mode, on the device of ``images``.
        images: as in :func:`stylize`.
        rounds: how often each is timed, 1 or more.
    """
    times: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(rounds + 1):
        for index, network in enumerate((first, second)):
            start = time.perf_counter()
            stylize(network, images)[0, 0, 0, 0].item()  # a read: devices compute in the background
            if turn:
                times[index].append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _conv_norm_pairs(network: StyleNetwork) -> list[tuple[str, str]]:
    pairs = [("conv1", "in1"), ("conv2", "in2"), ("conv3", "in3")]
    for block in network.block_names:
        pairs += [(f"{block}.conv1", f"{block}.in1"), (f"{block}.conv2", f"{block}.in2")]
    pairs += [("deconv1", "in4"), ("deconv2", "in5")]
    return [(f"{conv}.conv2d", norm) for conv, norm in pairs]
