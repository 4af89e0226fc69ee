"""The suite "norm-statistics": clean images, and each choice of what batch norms normalise by.

A network that was trained under noise collected its running statistics under it. Tested clean it
can therefore fail for its statistics alone; what it learned shows on the batch's statistics, or on
re-estimated ones. Those are of training images augmented as in training, so that of a clean-trained
network they are its running ones again: the black borders of padded crops alone move statistics
far. Test images have none, and on their batch's statistics a network can fail for that alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.data.split import sample_draws
from asr_core.draws import generator
from robust.norm_noise import (
    REESTIMATED,
    batch_name,
    batch_statistics,
    deal,
    reestimated_statistics,
)
from robust.norm_noise.layers import require_norm_layers
from robust.suites.condition import CLEAN_KIND, Condition
from robust.suites.suite import SUITES, Suite, SuiteOptions

BATCH = 64
"""Images that share statistics, in tests and in the estimate."""

ESTIMATED_FROM = 16 * BATCH
"""Training images, drawn by chance, that statistics are re-estimated from; fewer in small sets."""


@SUITES.register("norm-statistics")
class NormStatistics(Suite):
    """Clean images on running, batch and re-estimated statistics: the train phase's test.

    A split of fewer than ``BATCH`` images is one batch.

    Batches are dealt by chance, since images of one class in a row would be a noise of their own.

    Args:
        options: data, seed and repeats are taken from it; repeats deal the batches anew.
    """

    name = "norm-statistics"

    def __init__(self, options: SuiteOptions) -> None:
        self._options = options

    @property
    def _size(self) -> int:
        return min(BATCH, self._options.images)

    def conditions(self) -> list[Condition]:
        """Batch statistics, once a repeat, and re-estimated ones."""
        return [
            *(
                Condition(CLEAN_KIND, "", repeat, batch_name(self._size))
                for repeat in range(self._options.repeats)
            ),
            Condition(CLEAN_KIND, "", 0, REESTIMATED),
        ]

    def context(self, condition: Condition, model: nn.Module) -> AbstractContextManager[object]:
        """The statistics in place; re-estimated ones take one pass over their images.

        Raises:
            InputError: the model has no norm layer, whose statistics could be others.
        """
        require_norm_layers(model)
        if condition.statistics == REESTIMATED:
            return reestimated_statistics(model, self._training_images())
        return contextlib.nullcontext()

    def _training_images(self) -> Iterator[Tensor]:
        train = self._options.data.train
        count = len(train)
        chance = generator("re-estimated", self._options.seed)
        order = torch.randperm(count, generator=chance)[:ESTIMATED_FROM]
        order = order[: max(len(order) // BATCH * BATCH, min(count, BATCH))]
        draws = sample_draws(len(order), chance)
        return train.train_stream(zip(order.split(BATCH), draws.split(BATCH), strict=True))

    def batches(self, condition: Condition, count: int, batch_size: int) -> Sequence[Tensor]:
        """Batches dealt by chance where they decide the statistics."""
        if condition.statistics == REESTIMATED:
            return super().batches(condition, count, batch_size)
        seed, draw = self._options.seed, condition.repeat
        return deal(count, self._size, batch_size, seed=seed, draw=draw)

    def apply(
        self,
        condition: Condition,
        model: nn.Module,
        images: Tensor,
        *,
        indices: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """The logits on the condition's statistics."""
        if condition.statistics == REESTIMATED:
            logits: Tensor = model(images)
            return logits
        with batch_statistics(model, self._size):
            grouped: Tensor = model(images)
        return grouped

    def settings(self) -> dict[str, Any]:
        """Seed, repeats, and how many images statistics are taken from."""
        options = self._options
        return {
            "seed": options.seed,
            "repeats": options.repeats,
            "batch": self._size,
            "estimated_from": min(ESTIMATED_FROM, len(options.data.train)),
            "estimated_on": "training images, augmented as in training",
        }
