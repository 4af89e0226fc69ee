"""RepVGG for small images (Ding et al. 2021, arXiv 2101.03697, sec. 3.2 and 3.4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from asr_core.attention import ATTENTIONS, Attended, Attention
from asr_core.errors import InputError
from asr_core.fold.branches import Branch, Branched
from asr_core.models.networks.init import he_init

A0_BLOCKS = (1, 2, 4, 14, 1)
A0_WIDTHS = (48, 48, 96, 192, 1280)
STRIDES = (1, 1, 2, 2, 2)


class RepVGGBlock(Branched):
    """relu(BN(3×3) + BN(1×1) + BN(x)), the last only where the shape stays the same.

    (N, ``width``, H, W) -> (N, ``out``, H / ``stride``, W / ``stride``). Live attention, if any,
    gates the sum before the ReLU. :func:`asr_core.merge_branches` turns the block into one 3×3
    convolution, the attention, and the ReLU.
    """

    attention_is_optional: ClassVar[bool] = True
    """Without it (None), the block is the plain backbone's."""

    def __init__(self, width: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(width, out, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        same = width == out and stride == 1
        self.bn0 = nn.BatchNorm2d(out) if same else None
        self.attention: Attention | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, never negative."""
        out = self.bn3(self.conv3(x)) + self.bn1(self.conv1(x))
        if self.bn0 is not None:
            out = out + self.bn0(x)
        if self.attention is not None:
            out = out * self.attention(out)
        return out.relu()

    def branches(self) -> Sequence[Branch]:
        """The two or three that :meth:`forward` sums."""
        branches: list[Branch] = [(self.conv3, self.bn3), (self.conv1, self.bn1)]
        return branches if self.bn0 is None else [*branches, (None, self.bn0)]

    def around(self, conv: nn.Module) -> nn.Module:
        """``conv``, live attention on its output if the block has any, and the ReLU."""
        layers = OrderedDict(conv=conv, relu=nn.ReLU())
        if self.attention is not None:
            layers["attention"] = Attended(self.attention, 1)
            layers.move_to_end("relu")
        return nn.Sequential(layers)


class RepVGG(nn.Module):
    """Images (N, 3, H, W) -> logits (N, ``num_classes``); see :func:`repvgg_a0`."""

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        num_classes: int,
        *,
        attention: str | None = None,
    ) -> None:
        super().__init__()
        if attention == "dia":
            raise InputError("'dia' shares one cell among a stage's blocks: only ResNets have it")
        layers, width = [], 3
        for number, out, stride in zip(blocks, widths, STRIDES, strict=True):
            for i in range(number):
                block = RepVGGBlock(width, out, stride=stride if i == 0 else 1)
                he_init(block)
                if attention is not None:
                    block.attention = ATTENTIONS[attention](out)
                layers.append(block)
                width = out
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised ``images`` (N, 3, H, W)."""
        return self.fc(torch.flatten(self.blocks(images).mean((2, 3)), 1))


def repvgg_a0(num_classes: int, *, attention: str | None = None) -> RepVGG:
    """RepVGG-A0 whose first two stages keep the size: 7,840,874 parameters at 10 classes.

    Args:
        num_classes: width of the last layer.
        attention: name in ``ATTENTIONS`` of live attention on each block's sum; None for the
            plain net. ASR needs one gate for the BatchNorms of a block:
            ``insert_asr(…, shared="parents")``.

    Raises:
        InputError: an unknown attention module, or "dia".
    """
    return RepVGG(A0_BLOCKS, A0_WIDTHS, num_classes, attention=attention)
