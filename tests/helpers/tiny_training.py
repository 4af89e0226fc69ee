"""Training so small that a step takes milliseconds."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from styletransfer.losses.embedded import laplacian_bands
from styletransfer.losses.features import Features
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.losses.random_filters import RandomFilters
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.train import train_style


class QuickLossNetwork(nn.Module):
    """The embedded loss network without its mini-VGG."""

    name = "quick"

    def __init__(self) -> None:
        super().__init__()
        self.filters = RandomFilters(8, levels=2)

    def forward(self, images: Tensor, *, style: bool = True) -> Features:
        content = [(1 / 3, band) for band in laplacian_bands(images)]
        return Features(content, self.filters(images) if style else [])


def tiny_recipe(norm: str = "bn+asr", **changes: object) -> StyleRecipe:
    """Three steps of two 64-pixel crops, width 4, one block."""
    sizes = {"width": 4, "blocks": 1, "steps": 3, "size": 64, "coarse_size": 64, "warmup": 1}
    return StyleRecipe(norm=norm, **{**sizes, **changes})  # type: ignore[arg-type]


@functools.cache
def photographs() -> tuple[Tensor, ...]:
    """Three random pictures of 80 by 96 pixels."""
    generator = torch.Generator().manual_seed(11)
    small = torch.rand(3, 3, 10, 12, generator=generator)
    return tuple(nn.functional.interpolate(small, scale_factor=8, mode="bicubic").clamp(0, 1))


def quick_loss() -> PerceptualLoss:
    """Towards a fixed random style."""
    style = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(12))
    return PerceptualLoss(QuickLossNetwork(), style)


def trained(recipe: StyleRecipe, **options: object) -> StyleNetwork:
    return train_style(recipe, quick_loss(), photographs(), **options)  # type: ignore[arg-type]


def same(first: nn.Module, second: nn.Module) -> bool:
    """Bit for bit, buffers included."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
