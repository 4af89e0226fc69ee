"""LPIPS: distance of images in the features of a network that was trained on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from asr_core.errors import InputError
from asr_core.pretrained import verify
from asr_core.saving.checkpoint import load_strictly
from robust.metrics.checks import checked, checked_pair

Backbone = Literal["alex", "vgg"]
_TAPS: dict[str, tuple[int, ...]] = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Which of torchvision's ``features`` are compared: the five ReLUs before pooling, or the last."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SMALLEST = {"alex": 63, "vgg": 32}
_EPS = 1e-10


class LPIPS(nn.Module):
    """Learned perceptual distance of two batches of images; 0 is equal.

    Per layer, features are scaled to unit length at each pixel, and the squared differences are
    weighted by channel and averaged over the pixels; the layers add up.

    Args:
        backbone: ``alex`` (the authors' choice for metrics) or ``vgg``.
        state: ``features.*`` and ``lin0.weight`` … ``lin4.weight``; left out: what
            :func:`asr_core.pretrained.fetch` put into the cache.

    Raises:
        CheckpointError: the weights have not been fetched, or are not these.
        InputError: another backbone.

    Source: Zhang et al. 2018, The unreasonable effectiveness of deep features as a perceptual
    metric (version 0.1 of its weights).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone = "alex", state: Mapping[str, Tensor] | None = None):
        super().__init__()
        if backbone not in _TAPS:
            raise InputError(f"unknown backbone {backbone!r}; known: {', '.join(_TAPS)}")
        self.backbone = backbone
        with torch.device("meta"):
            whole = models.alexnet() if backbone == "alex" else models.vgg16(init_weights=False)
            self.features = whole.features[: max(_TAPS[backbone]) + 1]
            widths = [self._width(tap) for tap in _TAPS[backbone]]
            for index, width in enumerate(widths):
                self.register_buffer(f"lin{index}", torch.empty(1, width, 1, 1))
        self.to_empty(device="cpu")
        tensors = _fetched(backbone) if state is None else state
        renamed = {name.replace(".weight", "") if name.startswith("lin") else name: tensor
                   for name, tensor in tensors.items()}  # fmt: skip
        load_strictly(self, renamed, f"not the weights of LPIPS on {backbone}")
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        """The distance of each image from its reference.

        Args:
            images: (N, 3, H, W) in [0, 1], at least 63 pixels high and wide (``vgg``: 32).
            reference: of the same shape.

        Returns:
            (N,), float32, from 0.

        Raises:
            InputError: as in :func:`robust.metrics.checks.checked_pair`.
        """
        checked_pair(images, reference)
        return self.distance(self.unit_features(images), self.unit_features(reference))

    def distance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """The distances (N,) of images by their :meth:`unit_features`, of N and of N, or of 1."""
        layers = [
            ((a - b).square() * self.get_buffer(f"lin{index}")).sum(1).mean((1, 2))
            for index, (a, b) in enumerate(zip(first, second, strict=True))
        ]
        return torch.stack(layers).sum(0)

    def unit_features(self, images: Tensor) -> list[Tensor]:
        """What distances are taken of, to be computed once: (N, C, h, w) by layer, of unit length.

        Raises:
            InputError: as in :func:`robust.metrics.checks.checked`.
        """
        x = checked(images, smallest=_SMALLEST[self.backbone])
        x = (x.to(self.mean) - self.mean) / self.std
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS[self.backbone]:
                x = x.clone()  # the next ReLU is in place
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _EPS))
        return found

    def _width(self, tap: int) -> int:
        convs = [layer for layer in self.features[:tap] if isinstance(layer, nn.Conv2d)]
        return convs[-1].out_channels


def _fetched(backbone: str) -> dict[str, Tensor]:
    if backbone == "alex":
        return verify("lpips-alex")
    return verify("vgg16") | verify("lpips-vgg")
