"""A suite on further statistics of BatchNorm: test-time adaptation, beside the network as it is.

Adapted scores are reported beside the others, since they ask for more: that images come in batches
from one source (Schneider et al. 2020, arXiv 2006.16971).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.data.split import sample_draws
from asr_core.draws import generator
from robust.norm_noise import (
    REESTIMATED,
    RUNNING,
    Statistics,
    batch_statistics,
    blended_statistics,
    deal,
    reestimated_statistics,
)
from robust.norm_noise.adaptation import BATCH
from robust.norm_noise.layers import require_norm_layers
from robust.suites.cohort import Cohort
from robust.suites.condition import CLEAN, CLEAN_KIND, Condition
from robust.suites.suite import SUITES, Answers, Samples, Suite, SuiteOptions

ESTIMATED_FROM = 16 * BATCH
"""Random training images from which statistics are re-estimated; fewer in small sets."""


def make_suite(name: str, options: SuiteOptions) -> Suite:
    """A suite of :data:`SUITES`, on ``options.statistics`` too if there are any.

    Raises:
        InputError: an unknown name, or options that the suite refuses.
    """
    suite = SUITES[name](options)
    return Adapted(suite, options) if options.statistics else suite


class Adapted(Suite):
    """A suite, then clean images and its conditions once more for each of ``options.statistics``.

    Images that share statistics are dealt by chance, since those of one class in a row would be
    noise of their own; each repeat deals anew. Re-estimated statistics come from training images,
    augmented as in training and corrupted where the condition corrupts; noise on norm layers and
    attacks are not in the estimate. Conditions that decide the statistics themselves, as batch
    noise does, are not repeated.

    Args:
        suite: the suite.
        options: with the statistics.
    """

    def __init__(self, suite: Suite, options: SuiteOptions) -> None:
        self.name = suite.name  # type: ignore[misc]
        self._suite = suite
        self._options = options
        wanted = (each for each in options.statistics if each.kind != RUNNING)
        self._statistics = {each.name: each for each in wanted}
        self._own = frozenset(suite.conditions())

    def conditions(self) -> list[Condition]:
        """The suite's, and then clean images and the suite's on each of the statistics."""
        own = list(self._suite.conditions())
        plain = [CLEAN, *(each for each in own if each.statistics == RUNNING)]
        added = []
        for name, statistics in self._statistics.items():
            for each in plain:
                again = replace(each, statistics=name)
                draws = self._options.repeats if each == CLEAN and statistics.of_batch else 1
                added += [replace(again, repeat=each.repeat + draw) for draw in range(draws)]
        return [*own, *(each for each in added if each not in self._own)]

    @contextlib.contextmanager
    def context(self, condition: Condition, model: nn.Module) -> Iterator[None]:
        """Re-estimated statistics, which take one pass over their images.

        Raises:
            InputError: the model has no norm layer.
        """
        statistics = self._of(condition)
        with contextlib.ExitStack() as stack:
            if statistics is not None:
                require_norm_layers(model)
            if statistics is not None and statistics.kind == REESTIMATED:
                images = self._training_images(condition)
                stack.enter_context(reestimated_statistics(model, images))
            if not self._added_clean(condition):
                stack.enter_context(self._suite.context(condition, model))
            yield

    def _training_images(self, condition: Condition) -> Iterator[Tensor]:
        train = self._options.data.train
        chance = generator("re-estimated", self._options.seed)
        order = torch.randperm(len(train), generator=chance)[: self._estimated_from()]
        draws = sample_draws(len(order), chance)
        parts = order.split(BATCH)
        stream = train.train_stream(zip(parts, draws.split(BATCH), strict=True))
        for indices, images in zip(parts, stream, strict=True):
            labels = train.labels[indices].to(images.device)
            yield self.disturbed(condition, Samples(images, indices, labels))

    def _estimated_from(self) -> int:
        """Whole batches of training images, or a small set's all."""
        count = min(ESTIMATED_FROM, len(self._options.data.train))
        return count // BATCH * BATCH or count

    def batches(self, condition: Condition, count: int, batch_size: int) -> Sequence[Tensor]:
        """Random batches where they decide the statistics."""
        statistics = self._of(condition)
        if statistics is None or not statistics.of_batch:
            if self._added_clean(condition):
                return super().batches(condition, count, batch_size)
            return self._suite.batches(condition, count, batch_size)
        seed, draw = self._options.seed, condition.repeat
        return deal(count, statistics.size, batch_size, seed=seed, draw=draw)

    def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor | Answers:
        """The suite's answers on the condition's statistics."""
        statistics = self._of(condition)
        with _in_use(statistics, model):
            if self._added_clean(condition):
                return super().apply(condition, model, samples)
            return self._suite.apply(condition, model, samples)

    def disturbed(self, condition: Condition, samples: Samples) -> Tensor:
        """As the suite disturbs them; clean images on other statistics are left alone."""
        if self._added_clean(condition):
            return samples.images
        return self._suite.disturbed(condition, samples)

    def settings(self) -> dict[str, Any]:
        """The suite's, and how many images statistics are estimated from."""
        estimated = {
            "estimated_from": self._estimated_from(),
            "estimated_on": "training images, augmented as in training",
        }
        return {**self._suite.settings(), **(estimated if REESTIMATED in self._statistics else {})}

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """The suite's, and what an adapted score asks for."""
        asked = "; ".join(_ASKED[each.kind] for each in self._statistics.values())
        return [*self._suite.notes(groups), *([f"adapted scores: {asked}"] if asked else [])]

    def _of(self, condition: Condition) -> Statistics | None:
        """The added statistics of a condition; None for the suite's own conditions."""
        return None if condition in self._own else self._statistics.get(condition.statistics)

    def _added_clean(self, condition: Condition) -> bool:
        """Whether it is of clean images, and none of the suite's own conditions."""
        return condition.kind == CLEAN_KIND and condition not in self._own


_ASKED = {
    "batch": "batch statistics need images in batches, here by chance",
    "blend": "a blend counts the running statistics as N images beside the n of a batch",
    REESTIMATED: "re-estimated statistics need training images, corrupted as the test's",
}


def _in_use(statistics: Statistics | None, model: nn.Module) -> AbstractContextManager[object]:
    if statistics is None or not statistics.of_batch:
        return contextlib.nullcontext()
    if statistics.kind == "blend":
        return blended_statistics(model, statistics.prior, statistics.size)
    return batch_statistics(model, statistics.size)
