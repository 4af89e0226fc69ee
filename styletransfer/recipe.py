"""How a style network is trained, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from asr_core.errors import InputError


@dataclass(frozen=True)
class StyleRecipe:
    """Everything that decides a training run but the pictures themselves.

    Training is coarse to fine: the first ``coarse_share`` of the steps see crops of
    ``coarse_size``, where a step costs a quarter, the rest crops of ``size``. The learning rate
    warms up linearly and falls as a cosine to 5 %.

    Attributes:
        norm: norm variant of :class:`styletransfer.network.StyleNetwork`.
        seed: of the initial weights and of the crops; equal for all variants that are compared.
        batch_size: images a step. Small batches are where batch noise comes from.
        clip: largest gradient norm.

    Raises:
        InputError: a number out of its range.
    """

    norm: str = "in"
    attention: str = "se"
    seed: int = 0
    width: int = 16
    blocks: int = 3
    steps: int = 800
    size: int = 256
    coarse_size: int = 128
    coarse_share: float = 0.75
    batch_size: int = 2
    lr: float = 3e-3
    warmup: int = 20
    clip: float = 5.0
    content_weight: float = 1.0
    style_weight: float = 3.0
    tv_weight: float = 0.1

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("size", "coarse_size"):
            value = getattr(self, name)
            if value < 64 or value % 4:
                raise InputError(f"{name} is {value}; it must be a multiple of 4, at least 64")
        if not 0 <= self.coarse_share <= 1:
            raise InputError(f"coarse_share is {self.coarse_share}; it must lie in [0, 1]")
        if self.coarse_size > self.size:
            raise InputError(f"coarse_size {self.coarse_size} is above size {self.size}")
        if not (0 < self.lr < math.inf and self.clip > 0):
            raise InputError(f"lr {self.lr} and clip {self.clip} must be positive")
        for name in ("blocks", "warmup", "content_weight", "style_weight", "tv_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    @staticmethod
    def coarse_size_for(size: int) -> int:
        """The ``coarse_size`` that goes with ``size``: half of it, a multiple of 4, at least 64."""
        return max(64, size // 8 * 4)

    def crop_size(self, step: int) -> int:
        """Side of the crops at ``step``, counted from 0."""
        return self.coarse_size if step < self.coarse_share * self.steps else self.size

    def learning_rate(self, step: int) -> float:
        """Learning rate at ``step``: linear warm-up, then a cosine to 5 %."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.lr * rise * fall

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON-able data."""
        return asdict(self)
