"""Random multi-scale filters as texture features; nothing is learned or downloaded.

Idea: Ustyuzhaninov et al. 2017, "What does it take to generate natural textures?".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RandomFilters(nn.Module):
    """ReLU responses of fixed random 5x5 filters on an average-pooled pyramid.

    Three quarters of the filters have zero mean in each colour (edges), the rest see colour.

    Args:
        channels: number of filters.
        levels: pyramid levels; level k sees the image at 1/2^k.
        seed: fixes the filters.
    """

    filters: Tensor

    def __init__(self, channels: int = 32, *, levels: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        filters = torch.randn(channels, 3, 5, 5, generator=generator)
        edges = 3 * channels // 4
        filters[:edges] -= filters[:edges].mean(dim=(2, 3), keepdim=True)
        filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
        self.levels = levels
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> one (N, channels, H/2^k, W/2^k) per level k."""
        x = images - 0.5
        features = []
        for level in range(self.levels):
            if level:
                x = F.avg_pool2d(x, 2)
            features.append(F.relu(F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.filters)))
        return features
