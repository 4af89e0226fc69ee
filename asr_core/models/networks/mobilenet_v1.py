"""MobileNet for small images (Howard et al. 2017, arXiv 1704.04861, table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asr_core.models.networks.init import he_init

# Output channels and stride of each block; the paper's last two strides, and that of the first
# convolution, are 1 here.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *[(512, 1)] * 5,
    *((1024, 2), (1024, 1)),
)
STEM = 32


class SeparableBlock(nn.Module):
    """Depthwise 3×3, then pointwise, each with a BN.

    (N, ``width``, H, W) -> (N, ``out``, H / ``stride``, W / ``stride``).
    """

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, never negative."""
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu()


class MobileNetV1(nn.Module):
    """Images (N, 3, H, W) -> logits (N, ``num_classes``); see :func:`mobilenet_v1`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        widths = [STEM, *(out for out, _ in BLOCKS)]
        self.blocks = nn.Sequential(
            *(
                SeparableBlock(width, out, stride)
                for width, (out, stride) in zip(widths, BLOCKS, strict=False)
            )
        )
        self.fc = nn.Linear(widths[-1], num_classes)
        he_init(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised ``images`` (N, 3, H, W)."""
        x = self.bn1(self.conv1(images)).relu()
        return self.fc(torch.flatten(self.blocks(x).mean((2, 3)), 1))


def mobilenet_v1(num_classes: int) -> MobileNetV1:
    """MobileNet of width 1 with a first convolution that keeps the size.

    3,217,226 parameters at 10 classes.
    """
    return MobileNetV1(num_classes)
