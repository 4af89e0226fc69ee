"""ResNets of asymmetric convolutions (Ding et al. 2019, arXiv 1908.03930, sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from asr_core.fold.branches import Branch, Branched
from asr_core.models.networks.init import he_init
from asr_core.models.networks.resnet_cifar import Bottleneck, ResNetCIFAR, resnet_cifar


class AsymmetricConv(Branched):
    """BN(3×3) + BN(1×3) + BN(3×1), which together are one 3×3 convolution at inference.

    (N, ``width``, H, W) -> (N, ``out``, H / ``stride``, W / ``stride``).
    :func:`asr_core.merge_branches` replaces it by that convolution.
    """

    def __init__(self, width: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv_square = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn_square = nn.BatchNorm2d(out)
        self.conv_row = nn.Conv2d(width, out, (1, 3), stride, (0, 1), bias=False)
        self.bn_row = nn.BatchNorm2d(out)
        self.conv_column = nn.Conv2d(width, out, (3, 1), stride, (1, 0), bias=False)
        self.bn_column = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the three."""
        square = self.bn_square(self.conv_square(x))
        row = self.bn_row(self.conv_row(x))
        return square + row + self.bn_column(self.conv_column(x))

    def branches(self) -> Sequence[Branch]:
        """The three, which :meth:`forward` sums."""
        return (
            (self.conv_square, self.bn_square),
            (self.conv_row, self.bn_row),
            (self.conv_column, self.bn_column),
        )


def resnet_acnet(depth: int, num_classes: int, *, attention: str | None = None) -> ResNetCIFAR:
    """:func:`asr_core.models.resnet_cifar` with its blocks' 3×3 convolutions asymmetric.

    Raises:
        InputError: a depth that is not 9n + 2, or an unknown attention module.
    """
    model = resnet_cifar(depth, num_classes, attention=attention)
    for block in model.modules():
        if isinstance(block, Bottleneck):
            conv = block.conv2
            asymmetric = AsymmetricConv(conv.in_channels, conv.out_channels, stride=conv.stride[0])
            he_init(asymmetric)
            block.conv2 = asymmetric  # type: ignore[assignment]
            block.bn2 = nn.Identity()  # type: ignore[assignment]
    return model
