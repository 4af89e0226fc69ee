"""The suite "norm-statistics": clean images on each kind of batch-norm statistics.

A network trained under noise collected its running statistics under it, and can fail on clean
images for that reason alone. What it learned shows on the batch's statistics or on re-estimated
ones. Those come from training images with the augmentation of training, so that a clean-trained
network gets its running statistics back: the black borders of padded crops move them far. Test
images have no borders, so their batch statistics can make a network fail, too.
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
"""Random training images from which statistics are re-estimated; fewer in small sets."""


@SUITES.register("norm-statistics")
class NormStatistics(Suite):
    """Clean images on running, batch and re-estimated statistics: the test of the train phase.

    Batches are random, since images of one class in a row would add noise. A split of fewer than
    ``BATCH`` images is one batch. Of the options it takes data, seed and repeats, each of which
    deals the batches anew.
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
        """Re-estimated statistics, which take one pass over their images.

        Raises:
            InputError: the model has no norm layer.
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
        """Random batches where they decide the statistics."""
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
        grouped = condition.statistics != REESTIMATED
        with batch_statistics(model, self._size) if grouped else contextlib.nullcontext():
            logits: Tensor = model(images)
        return logits

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
