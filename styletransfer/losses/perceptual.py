"""Content, style and smoothness of a stylised picture, as one relative loss."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Perceptual losses towards one style (Johnson et al. 2016, eq. 2-4), relative to the style's.

    * content: weighted mean over the content features of the mean square of f(y) − f(x), over the
      mean square of f(s);
    * style: mean over layers of half ‖μ(y) − μ(s)‖² / ‖μ(s)‖² and half ‖Σ(y) − Σ(s)‖² / ‖Σ(s)‖²;
    * total variation: mean absolute difference of neighbouring pixels.

    μ and Σ are the channels' means and covariances. The Gram matrix of the paper is Σ + μμᵀ; after
    a ReLU its μμᵀ is most of it, and texture goes unseen. Relative terms need no per-layer weights,
    and 0 is perfect whatever the loss network. The content is not relative to the photograph's own
    features: the faint ones of a flat photograph would forbid it any texture.

    Args:
        network: where the features come from.
        style: the style image, (3, H, W) in [0, 1].
    """

    scales: Tensor
    definition = 2
    """Of the formulas; a training that began under another one is not resumed."""

    def __init__(self, network: LossNetwork, style: Tensor) -> None:
        super().__init__()
        if style.ndim != 3 or style.shape[0] != 3:
            raise InputError(f"style must be (3, H, W), got {tuple(style.shape)}")
        self.network = network
        with torch.no_grad():
            features = network(style[None])
            scales = [_precise(feature).square().mean() for _, feature in features.content]
            self.register_buffer("scales", torch.stack(scales) + _EPS, persistent=False)
            for index, feature in enumerate(features.style):
                mean, covariance = statistics(feature)
                self.register_buffer(f"mean{index}", mean, persistent=False)
                self.register_buffer(f"covariance{index}", covariance, persistent=False)

    def forward(self, outputs: Tensor, contents: Tensor) -> LossTerms:
        """Losses of stylised ``outputs`` of ``contents``, both (N, 3, H, W) in [0, 1].

        One content, (1, 3, H, W), may serve all outputs; its features are computed once.
        """
        one_for_all = (1, *outputs.shape[1:])
        if contents.shape not in (outputs.shape, one_for_all):
            raise InputError(
                f"outputs {tuple(outputs.shape)} and contents {tuple(contents.shape)} "
                "differ in shape"
            )
        return self.compare(outputs, self.content_features(contents))

    @torch.no_grad()
    def content_features(self, contents: Tensor) -> list[Tensor]:
        """What :meth:`compare` takes of ``contents`` (N, 3, H, W), to be computed once."""
        return [feature for _, feature in self.network(contents, style=False).content]

    def compare(self, outputs: Tensor, wanted: Sequence[Tensor]) -> LossTerms:
        """Losses of ``outputs``, (N, 3, H, W) in [0, 1], by the features of their contents."""
        found = self.network(outputs)
        content = torch.stack(
            [
                weight * _mean_square(_precise(feature) - _precise(target)) / scale
                for (weight, feature), target, scale in zip(
                    found.content, wanted, self.scales, strict=True
                )
            ]
        ).sum(dim=0)
        style = torch.stack(
            [
                0.5 * _relative(mean, self._target("mean", index, mean))
                + 0.5 * _relative(covariance, self._target("covariance", index, covariance))
                for index, (mean, covariance) in enumerate(map(statistics, found.style))
            ]
        ).mean(dim=0)
        return LossTerms(content, style, total_variation(outputs))

    def _target(self, kind: str, index: int, like: Tensor) -> Tensor:
        target: Tensor = getattr(self, f"{kind}{index}")
        return target.expand_as(like)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Channel means (N, C, 1) and covariances (N, C, C) of features (N, C, h, w)."""
    # Autocast would round the covariances, of which the style loss is a difference.
    with torch.autocast(features.device.type, enabled=False):
        flat = _precise(features).flatten(2)
        mean = flat.mean(dim=2, keepdim=True)
        centred = flat - mean
        return mean, centred @ centred.transpose(1, 2) / flat.shape[2]


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, (N, C, H, W) -> (N,)."""
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    horizontal = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    return vertical + horizontal


def _mean_square(values: Tensor) -> Tensor:
    return values.square().flatten(1).mean(dim=1)


def _relative(found: Tensor, target: Tensor) -> Tensor:
    found, target = _precise(found), _precise(target)
    error = (found - target).square().flatten(1).sum(dim=1)
    return error / (target.square().flatten(1).sum(dim=1) + _EPS)


def _precise(values: Tensor) -> Tensor:
    """In float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
