"""Content, style and smoothness of a stylised picture, as one relative loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from styletransfer.losses.features import LossNetwork

_EPS = 1e-8


class LossTerms(NamedTuple):
    """Losses per image, each (N,)."""

    content: Tensor
    style: Tensor
    total_variation: Tensor


class PerceptualLoss(nn.Module):
    """Perceptual losses towards one style (Johnson et al. 2016, eq. 2-4), made relative.

    * content: weighted mean of ‖f(y) − f(x)‖² / ‖f(x)‖² over the content features;
    * style: mean over layers of ‖G(y) − G(s)‖² / ‖G(s)‖², G the Gram matrix, divided by h·w;
    * total variation: mean absolute difference of neighbouring pixels.

    Relative terms need no per-layer weights, and 0 is perfect whatever the loss network.

    Args:
        network: where the features come from.
        style: the style image, (3, H, W) in [0, 1].
    """

    def __init__(self, network: LossNetwork, style: Tensor) -> None:
        super().__init__()
        if style.ndim != 3 or style.shape[0] != 3:
            raise InputError(f"style must be (3, H, W), got {tuple(style.shape)}")
        self.network = network
        with torch.no_grad():
            for index, feature in enumerate(network(style[None]).style):
                mean = feature.mean(dim=(2, 3), keepdim=True)
                self.register_buffer(f"mean{index}", mean, persistent=False)
                self.register_buffer(f"gram{index}", gram(feature - mean)[0], persistent=False)

    def forward(self, outputs: Tensor, contents: Tensor) -> LossTerms:
        """Losses of stylised ``outputs`` of ``contents``, both (N, 3, H, W) in [0, 1]."""
        if outputs.shape != contents.shape:
            raise InputError(
                f"outputs {tuple(outputs.shape)} and contents {tuple(contents.shape)} differ in shape"
            )
        with torch.no_grad():
            wanted = self.network(contents, style=False).content
        found = self.network(outputs)
        content = torch.stack(
            [
                weight * _relative(feature, target)
                for (weight, feature), (_, target) in zip(found.content, wanted, strict=True)
            ]
        ).sum(dim=0)
        style = torch.stack(
            [
                _relative(
                    gram(feature - getattr(self, f"mean{index}")),
                    getattr(self, f"gram{index}").expand(len(outputs), -1, -1),
                )
                for index, feature in enumerate(found.style)
            ]
        ).mean(dim=0)
        return LossTerms(content, style, total_variation(outputs))


def gram(features: Tensor) -> Tensor:
    """Gram matrices (N, C, C) of features (N, C, h, w), divided by h·w."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, (N, C, H, W) -> (N,)."""
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    horizontal = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    return vertical + horizontal


def _relative(found: Tensor, target: Tensor) -> Tensor:
    error = (found - target).square().flatten(1).sum(dim=1)
    return error / (target.square().flatten(1).sum(dim=1) + _EPS)
