"""How a style network is trained, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from asr_core import limits
from asr_core.errors import InputError
from asr_core.saving.schema import Number, Seed, Text, record
from styletransfer.losses.perceptual import LossTerms
from styletransfer.network import Upsample

Precision = Literal["float32", "bfloat16"]

_Side = Annotated[int, Field(ge=64, le=limits.SIDE, multiple_of=4)]
_Weight = Annotated[Number, Field(ge=0)]


@record
@dataclass(frozen=True)
class StyleRecipe:
    """Everything that decides a training run, except the pictures.

    Training is coarse to fine: the first ``coarse_share`` of the steps see crops of
    ``coarse_size``, where a step costs a quarter, the rest crops of ``size``. The learning rate
    warms up linearly and falls as a cosine to 5 %.

    Attributes:
        norm: norm variant of :class:`styletransfer.network.StyleNetwork`.
        seed: of the initial weights and of the crops; equal for all variants that are compared.
        batch_size: images a step. Small batches are where batch noise comes from.
        clip: largest gradient norm.
        precision: "bfloat16" runs both networks under autocast, where the device can at half the
            cost; weights, their updates and the losses stay in float32.

    Raises:
        InputError: a number out of its range.
    """

    norm: Text = "in"
    attention: Text = "se"
    seed: Seed = 0
    width: Annotated[int, Field(ge=1, le=limits.WIDTH)] = 16
    blocks: Annotated[int, Field(ge=0, le=limits.BLOCKS)] = 3
    upsample: Upsample = "binomial"
    steps: Annotated[int, Field(ge=1, le=limits.STEPS)] = 1000
    size: _Side = 256
    coarse_size: _Side = 128
    coarse_share: Annotated[Number, Field(ge=0, le=1)] = 0.9
    batch_size: Annotated[int, Field(ge=1, le=limits.BATCH)] = 2
    lr: Annotated[Number, Field(gt=0)] = 2e-3
    warmup: Annotated[int, Field(ge=0)] = 20
    clip: Annotated[Number, Field(gt=0)] = 5.0
    precision: Precision = "float32"
    content_weight: _Weight = 1.0
    style_weight: _Weight = 0.7
    tv_weight: _Weight = 0.05

    def __post_init__(self) -> None:
        limits.check_batch(self.batch_size, self.size)
        if self.coarse_size > self.size:
            raise InputError(f"coarse_size {self.coarse_size} is above size {self.size}")

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

    def total(self, terms: LossTerms) -> Tensor:
        """The losses together, in the weights of the training."""
        return (
            self.content_weight * terms.content
            + self.style_weight * terms.style
            + self.tv_weight * terms.total_variation
        )

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON-able data."""
        return asdict(self)
