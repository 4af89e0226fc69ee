"""The fast style network of Johnson et al. 2016 ("Perceptual Losses for Real-Time Style Transfer").

Layer names are those of the public ``fast_neural_style`` example, so that its checkpoints load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asr_core import ATTENTIONS, insert_asr, limits
from asr_core.registry import Registry, unknown_name

Head = Literal["sigmoid", "linear"]
Upsample = Literal["nearest", "bilinear", "binomial"]
ATTENTION_OF_CONTROL = "const"


class Gates(NamedTuple):
    """What a norm variant puts on its batch norms.

    Attributes:
        attention: of the gates; None for what the user chooses.
        control: that of :func:`asr_core.insert_asr`; None for gates that learn.
    """

    attention: str | None = None
    control: str | None = None


NORMS: Registry[Gates | None] = Registry("norm")
"""Norm variants, and the gates that each has."""
NORMS.register("in")(None)
NORMS.register("bn")(None)
NORMS.register("bn+asr")(Gates())
NORMS.register("bn+frozen")(Gates(control="frozen"))
NORMS.register("bn+const")(Gates(ATTENTION_OF_CONTROL))


class ConvLayer(nn.Module):
    """Reflection padding and a convolution: (N, C, H, W) -> (N, C', H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H/stride, W/stride)."""
        return self.conv2d(self.reflection_pad(x))


class UpsampleConvLayer(ConvLayer):
    """Upsampling by two, then :class:`ConvLayer`: (N, C, H, W) -> (N, C', 2H, 2W)."""

    kernel: Tensor
    """Of the binomial upsampling, (C, 1, 6, 6); no part of the state."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, upsample: Upsample) -> None:
        super().__init__(inputs, outputs, kernel_size, 1)
        self.upsample = upsample
        taps = torch.tensor([1.0, 5.0, 10.0, 10.0, 5.0, 1.0]) / 16
        kernel = torch.outer(taps, taps).repeat(inputs, 1, 1, 1)
        self.register_buffer("kernel", kernel if upsample == "binomial" else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 2H, 2W)."""
        if self.upsample == "nearest":
            return super().forward(F.interpolate(x, scale_factor=2.0))
        if self.upsample == "bilinear":
            return super().forward(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        channels = self.conv2d.in_channels
        x = F.conv_transpose2d(x, self.kernel, stride=2, padding=4, groups=channels)
        return super().forward(x)


class ResidualBlock(nn.Module):
    """conv, norm, ReLU, conv, norm, and the input added: shape kept."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, 1)
        self.in1 = norm(channels)
        self.conv2 = ConvLayer(channels, channels, 3, 1)
        self.in2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


class StyleNetwork(nn.Module):
    """Maps photographs to stylised ones, both (N, 3, H, W) in [0, 1]; H and W multiples of 4.

    All variants of a seed have the same initial convolutions: the norms are made alike, and gates
    are inserted after the last convolution has been initialised.

    Args:
        norm: ``in``, ``bn``, ``bn+asr``, or a control whose gates learn nothing: ``bn+frozen`` has
            those of ``bn+asr``, with the same draw of their weights, ``bn+const`` one constant.
        width: channels after the first convolution; the public example has 32.
        blocks: residual blocks; the public example has 5.
        head: ``sigmoid`` ends in a sigmoid. ``linear`` is the public example's convention, which
            works on [0, 255]; the output is clamped.
        upsample: ``nearest`` is the public example's and leaves a grid of pixel pairs in the
            picture. Of ``bilinear`` traces are left, as it has a kink at every pixel, which the
            convolutions amplify. ``binomial``, that of the shipped networks, smooths them by
            [1 2 1] / 4: six taps in all, in the proportions of the binomial coefficients.
        attention: the attention module of the gates of ``bn+asr`` and ``bn+frozen``.

    Raises:
        InputError: an unknown norm, attention, head or upsample, or a width or blocks out of range.
    """

    def __init__(
        self,
        norm: str = "in",
        *,
        width: int = 16,
        blocks: int = 3,
        head: Head = "sigmoid",
        upsample: Upsample = "nearest",
        attention: str = "se",
    ) -> None:
        super().__init__()
        gates = NORMS[norm]
        ATTENTIONS[attention]  # an unknown name is an error for every norm
        limits.whole("width", width, 1, limits.WIDTH)
        limits.whole("blocks", blocks, 0, limits.BLOCKS)
        if head not in get_args(Head):
            raise unknown_name("head", head, list(get_args(Head)))
        if upsample not in get_args(Upsample):
            raise unknown_name("upsample", upsample, list(get_args(Upsample)))
        self.config: dict[str, Any] = {
            "norm": norm,
            "width": width,
            "blocks": blocks,
            "head": head,
            "upsample": upsample,
            "attention": attention,
        }
        self.head = head
        make = _instance_norm if norm == "in" else nn.BatchNorm2d
        self.conv1 = ConvLayer(3, width, 9, 1)
        self.in1 = make(width)
        self.conv2 = ConvLayer(width, 2 * width, 3, 2)
        self.in2 = make(2 * width)
        self.conv3 = ConvLayer(2 * width, 4 * width, 3, 2)
        self.in3 = make(4 * width)
        self.block_names = [f"res{index}" for index in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, ResidualBlock(4 * width, make))
        self.deconv1 = UpsampleConvLayer(4 * width, 2 * width, 3, upsample)
        self.in4 = make(2 * width)
        self.deconv2 = UpsampleConvLayer(2 * width, width, 3, upsample)
        self.in5 = make(width)
        self.deconv3 = ConvLayer(width, 3, 9, 1)
        if gates is not None:
            insert_asr(
                self,
                gates.attention or attention,
                control=gates.control,
                targets=lambda module, _: isinstance(module, nn.BatchNorm2d),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Stylise ``images``, (N, 3, H, W) in [0, 1] -> the same shape and range."""
        x = images * 255 if self.head == "linear" else images
        x = F.relu(self.in1(self.conv1(x)))
        x = F.relu(self.in2(self.conv2(x)))
        x = F.relu(self.in3(self.conv3(x)))
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        x = F.relu(self.in4(self.deconv1(x)))
        x = F.relu(self.in5(self.deconv2(x)))
        x = self.deconv3(x)
        return (x / 255).clamp(0, 1) if self.head == "linear" else x.sigmoid()


def _instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)
