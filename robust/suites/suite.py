"""The interface of robustness suites, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from asr_core import limits
from asr_core.data import ImageSet
from asr_core.data.split import Split
from asr_core.draws import check_seed
from asr_core.errors import InputError
from asr_core.registry import Registry, unknown_name
from robust.norm_noise import GRANULARITY_OF_TESTS, Statistics
from robust.suites.condition import Condition

if TYPE_CHECKING:
    from robust.suites.cohort import Cohort

SPLITS = ("test", "validation", "train")


class Answers(NamedTuple):
    """What a model says under a condition.

    Attributes:
        logits: (N, K).
        no_gradient: bool (N,), the images on which an attack had no gradient to follow, so that a
            right answer shows nothing.
    """

    logits: Tensor
    no_gradient: Tensor


class Samples(NamedTuple):
    """Samples that a model sees together.

    Attributes:
        images: (N, 3, H, W) in [0, 1].
        indices: the images' places in the split, int64 (N,) on the CPU; draws follow them.
        labels: int64 (N,), on the images' device.
    """

    images: Tensor
    indices: Tensor
    labels: Tensor


class Suite(ABC):
    """A set of conditions, besides the clean one, under which a classifier is tested.

    Draws depend on the suite's seed, the condition and the image's index alone: never on the
    batches, their order or the device.

    Attributes:
        name: in :data:`SUITES`.
    """

    name: ClassVar[str]

    @abstractmethod
    def conditions(self) -> Sequence[Condition]:
        """The conditions, in the order of tables, without the clean one."""

    def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor | Answers:
        """The model's logits (N, K) under ``condition``, or :class:`Answers`.

        Those for the :meth:`disturbed` images, unless a suite acts on more than the images. The
        model is in eval mode, and must be left as it was, also by an exception. Autograd is off; an
        attack by gradients turns it on.

        Args:
            condition: one of :meth:`conditions`.
            model: images (N, 3, H, W) in [0, 1] -> logits (N, K).
            samples: that are tested together.
        """
        logits: Tensor = model(self.disturbed(condition, samples))
        return logits

    def context(self, condition: Condition, model: nn.Module) -> AbstractContextManager[object]:
        """A context for a whole pass, such as statistics that are estimated first."""
        return nullcontext()

    def batches(self, condition: Condition, count: int, batch_size: int) -> Sequence[Tensor]:
        """The batches of ``count`` images: int64 indices, each image at least once.

        If an image comes twice, the later answer counts.
        """
        return torch.arange(count).split(batch_size)

    def disturbed(self, condition: Condition, samples: Samples) -> Tensor:
        """The images as ``condition`` disturbs them, (N, 3, H, W) in [0, 1].

        Statistics that are estimated under a condition are estimated on them.
        """
        return samples.images

    def settings(self) -> dict[str, Any]:
        """What else decides the results, as JSON-able data."""
        return {}

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """Lines below the table, such as figures over all conditions."""
        return []


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """The options of all suites; each suite takes those it needs.

    Attributes:
        data: the data set; re-estimated statistics come from its training split.
        split: the split to test, one of :data:`SPLITS`.
        seed: seed of all draws.
        repeats: passes for each condition that depends on chance.
        noise: for norm-noise: "batch", "constant", "random" or "all".
        severities: those of one noise, as text; empty for its defaults.
        granularity: for random noise: "sample", "layer" or "channel".
        baseline: for corruptions: the model, by its results' name, to which mCE is relative.
        statistics: those that BatchNorm is also tested on, beside running ones
            (:func:`robust.suites.adapted.make_suite`).

    Raises:
        InputError: an unknown split, a number out of its range, or more images to share statistics
            than there are.
    """

    data: ImageSet
    split: str = "test"
    seed: int = 0
    repeats: int = 1
    noise: str = "all"
    severities: tuple[str, ...] = ()
    granularity: str = GRANULARITY_OF_TESTS
    baseline: str = ""
    statistics: tuple[Statistics, ...] = ()

    @property
    def samples(self) -> Split:
        """The images under test."""
        split: Split = getattr(self.data, self.split)
        return split

    @property
    def images(self) -> int:
        """Their number."""
        return len(self.samples)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.split not in SPLITS:
            raise unknown_name("split", self.split, list(SPLITS))
        limits.whole("repeats", self.repeats, 1, limits.REPEATS)
        for each in self.statistics:
            if each.size > self.images:
                raise InputError(
                    f"{each.name} statistics need {each.size} images; {self.split} has "
                    f"{self.images}: take a smaller n"
                )


SUITES: Registry[Callable[[SuiteOptions], Suite]] = Registry("suite")
"""The suites by name: ``SUITES[name](options)`` makes one."""
