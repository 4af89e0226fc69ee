"""Bottleneck ResNets for small images (He et al. 2016, arXiv 1512.03385, sec. 4.2), 9n + 2 deep."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from asr_core.attention import ATTENTIONS, DIA
from asr_core.errors import InputError

EXPANSION = 4
PLANES = (16, 32, 64)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions around a shortcut.

    (N, ``width``, H, W) -> (N, 4 ``planes``, H / ``stride``, W / ``stride``). Attention, if any,
    gates the last BN's output before the residual add.
    """

    attention_is_optional: ClassVar[bool] = True
    """Without it (None), the block is the plain backbone's."""

    def __init__(
        self, width: int, planes: int, *, stride: int = 1, attention: nn.Module | None = None
    ) -> None:
        super().__init__()
        out = planes * EXPANSION
        self.conv1 = _conv(width, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3, stride=stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, out, 1)
        self.bn3 = nn.BatchNorm2d(out)
        self.attention = attention
        self.downsample: nn.Module | None = None
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(
                _conv(width, out, 1, stride=stride), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor, gate: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The block's output; ``gate`` is attention that the block does not own."""
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn2(self.conv2(out)).relu()
        out = self.bn3(self.conv3(out))
        gate = gate or self.attention
        if gate is not None:
            out = out * gate(out)
        shortcut = x if self.downsample is None else self.downsample(x)
        return (out + shortcut).relu()


class ResNetCIFAR(nn.Module):
    """Images (N, 3, H, W) -> logits (N, num_classes); see :func:`resnet_cifar`."""

    def __init__(
        self,
        blocks: int,
        num_classes: int,
        *,
        attention: str | None = None,
        planes: tuple[int, int, int] = PLANES,
    ) -> None:
        super().__init__()
        first, second, third = planes
        self.conv1 = _conv(3, first, 3)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = _stage(first, first, blocks, stride=1, attention=attention)
        self.layer2 = _stage(first * EXPANSION, second, blocks, stride=2, attention=attention)
        self.layer3 = _stage(second * EXPANSION, third, blocks, stride=2, attention=attention)
        self.fc = nn.Linear(third * EXPANSION, num_classes)
        # DIA belongs to a stage, not to a block: one cell for each.
        self.dia = (
            nn.ModuleList(DIA(width * EXPANSION) for width in planes)
            if attention == "dia"
            else None
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised ``images`` (N, 3, H, W)."""
        x = self.bn1(self.conv1(images)).relu()
        for i, stage in enumerate((self.layer1, self.layer2, self.layer3)):
            gate = None if self.dia is None else self.dia[i].unroll()  # type: ignore[operator]
            for block in stage:
                x = block(x, gate)
        return self.fc(torch.flatten(x.mean((2, 3)), 1))


def _conv(width: int, out: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(width, out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _stage(
    width: int, planes: int, blocks: int, *, stride: int, attention: str | None
) -> nn.Sequential:
    out = planes * EXPANSION
    own = None if attention in (None, "dia") else ATTENTIONS[attention]
    return nn.Sequential(
        *(
            Bottleneck(
                width if i == 0 else out,
                planes,
                stride=stride if i == 0 else 1,
                attention=None if own is None else own(out),
            )
            for i in range(blocks)
        )
    )


def resnet_cifar(
    depth: int,
    num_classes: int,
    *,
    attention: str | None = None,
    planes: tuple[int, int, int] = PLANES,
) -> ResNetCIFAR:
    """A bottleneck ResNet with the CIFAR stem (3×3, 16 channels, no pooling).

    ResNet164 has 1,727,284 parameters at 100 classes.

    Args:
        depth: number of layers, 9n + 2 for n blocks in each of three stages of width 64, 128, 256.
        num_classes: width of the last layer.
        attention: name in ``ATTENTIONS`` of live attention after each block's last BN ("dia":
            one cell per stage); None for the plain net. For ASR give the plain net to
            :func:`asr_core.insert_asr` with ``targets="layer*.bn3"``.
        planes: channels of the 3×3 convolutions of each stage, a quarter of the stage's width.

    Raises:
        InputError: a depth that is not 9n + 2, or an unknown attention module.
    """
    blocks, rest = divmod(depth - 2, 9)
    if rest or blocks < 1:
        raise InputError(f"depth is 9n + 2 (11, 20, 29, …, 83, 164), got {depth}")
    return ResNetCIFAR(blocks, num_classes, attention=attention, planes=planes)
