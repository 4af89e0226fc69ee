"""Normalisation inside the model, which takes images in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asr_core.errors import InputError

CHANNELS = 3
_LEAST = 1e-30


class Normalized(nn.Module):
    """``model`` on images in [0, 1], which are normalised by (x − mean) / std.

    The state dict is that of ``model`` with the prefix "model.", without mean and std.

    Args:
        model: the backbone, on normalised images (N, 3, H, W).
        mean: of each colour channel over the training images, in [0, 1].
        std: the same, above 0.

    Attributes:
        model: the backbone, whose state dict other tools load.
        statistics: mean and std as given, unrounded.

    Raises:
        InputError: ``mean`` or ``std`` are not three such numbers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        check_statistics(mean, std)
        self.model = model
        self.statistics = tuple(map(float, mean)), tuple(map(float, std))
        for name, values in zip(("mean", "std"), self.statistics, strict=True):
            shaped = torch.tensor(values).reshape(1, CHANNELS, 1, 1)
            self.register_buffer(name, shaped, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The backbone's outputs on ``images`` (N, 3, H, W) in [0, 1]."""
        return self.model((images - self.mean) / self.std)

    def extra_repr(self) -> str:
        """Mean and std, for the module's repr."""
        return "mean={}, std={}".format(*self.statistics)


def check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse statistics that images cannot be normalised by.

    Raises:
        InputError: not three numbers each, a mean outside [0, 1], or a std that is not above 0.
    """
    for name, values in (("mean", mean), ("std", std)):
        three = isinstance(values, Sequence) and len(values) == CHANNELS
        if not three or not all(type(value) in (int, float) for value in values):
            raise InputError(f"{name} must be three numbers, one per channel; got {values!r}")
    if not all(0 <= value <= 1 for value in mean):
        raise InputError(f"mean must be of images in [0, 1]; got {mean!r}")
    # Beyond these, float32 would give 0 or infinity.
    if not all(_LEAST <= value <= 1 / _LEAST for value in std):
        raise InputError(f"std must be finite and above 0 ({_LEAST} or more); got {std!r}")
