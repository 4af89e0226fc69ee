"""The suite "norm-noise": clean-trained networks under normalisation noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from asr_core.registry import unknown_name
from robust.norm_noise import (
    BURST,
    GRANULARITIES,
    ORDERS,
    RUNNING,
    BatchNoise,
    Severity,
    batch_name,
    choose_severities,
    deal,
    parse_severity,
    run_under,
)
from robust.suites.cohort import Cohort
from robust.suites.condition import Condition
from robust.suites.suite import SUITES, Samples, Suite, SuiteOptions

BATCHES = (
    BatchNoise(64), BatchNoise(16), BatchNoise(4), BatchNoise(2), BatchNoise(64, "bursts"),
    BatchNoise(64, "class"), BatchNoise(4, "noise"), BatchNoise(1),
)  # fmt: skip
"""The default severities of batch noise, from mild to strong, the control last. They begin at a
larger n than for style networks: a small batch leaves a classifier hardly any accuracy."""


@SUITES.register("norm-noise")
class NormNoise(Suite):
    """Constant, random and batch noise on every norm layer of a network.

    - constant: one pass for each pair (Na, Nb), on running statistics.
    - random: an image's draws follow its index ("sample", as if each image had its own forward),
      or all images of a pass share them ("layer", "channel").
    - batch: each pass deals the images under test into random batches of n, or, as in a stream,
      into batches of neighbours in a correlated order (class by class, or bursts of a class). The
      images of a batch are each other's companions, so a pass costs as much as a clean one. With
      noise images as companions each image has n - 1 of them, and a pass costs n clean ones. n = 1
      is the control, in which BatchNorm equals InstanceNorm.

    Of the options it takes data, seed, repeats, noise, severities and granularity.

    Raises:
        InputError: an unknown noise or granularity, or a severity of another form.
    """

    name = "norm-noise"

    def __init__(self, options: SuiteOptions) -> None:
        if options.granularity not in GRANULARITIES:
            raise unknown_name("granularity", options.granularity, list(GRANULARITIES))
        chosen = choose_severities(options.noise, options.severities)
        if not options.severities:
            chosen = tuple(s for s in chosen if not isinstance(s, BatchNoise))
            if options.noise in ("batch", "all"):
                chosen += tuple(s for s in BATCHES if s.size <= options.images)
        self.severities = chosen
        self._options = options

    def conditions(self) -> list[Condition]:
        """Noise by noise; one that does not depend on chance comes once."""
        return [
            Condition(severity.noise, severity.text, repeat, _statistics(severity))
            for severity in self.severities
            for repeat in range(self._options.repeats if severity.by_chance else 1)
        ]

    def batches(self, condition: Condition, count: int, batch_size: int) -> Sequence[Tensor]:
        """Under batch noise, whole batches of companions."""
        severity = parse_severity(condition.kind, str(condition.severity))
        if not isinstance(severity, BatchNoise):
            return super().batches(condition, count, batch_size)
        if severity.companions == "noise":
            # as many images in a forward as elsewhere, companions included
            return super().batches(condition, count, max(1, batch_size // severity.size))
        ordered = severity.companions in ORDERS
        return deal(
            count,
            severity.size,
            batch_size,
            seed=self._options.seed,
            draw=condition.repeat,
            labels=self._options.samples.labels if ordered else None,
            run=BURST if severity.companions == "bursts" else None,
        )

    def apply(self, condition: Condition, model: nn.Module, samples: Samples) -> Tensor:
        """The logits under one draw of the noise."""
        severity = parse_severity(condition.kind, str(condition.severity))
        return run_under(
            model,
            samples.images,
            severity,
            seed=self._options.seed,
            keys=samples.indices.tolist(),
            draw=condition.repeat,
            granularity=self._options.granularity,
        )

    def settings(self) -> dict[str, Any]:
        """Seed, repeats, granularity, and who the companions are."""
        options = self._options
        return {
            "seed": options.seed,
            "repeats": options.repeats,
            "granularity": options.granularity,
            "companions": "the other images under test, by chance or in order; or noise images",
        }

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """Networks that batch noise cannot reach, and numbers of norm layers that differ."""
        lines = []
        if any(isinstance(severity, BatchNoise) for severity in self.severities):
            lines += [
                f"{title} has no BatchNorm: batch noise cannot reach it, by construction"
                for title, count in _norms(groups, "batch_norms").items()
                if count == 0
            ]
        counts = _norms(groups, "norm_layers")
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{title} {count}" for title, count in counts.items())
            lines.append(f"norm layers under noise: {listed} (others have none, or were folded)")
        return lines


def _norms(groups: Sequence[Cohort], key: str) -> dict[str, int]:
    """The number of norm layers of each variant whose results know it."""
    counts = {group.title: group.results[0].meta.get(key) for group in groups}
    return {title: count for title, count in counts.items() if isinstance(count, int)}


def _statistics(severity: Severity) -> str:
    return batch_name(severity.size) if isinstance(severity, BatchNoise) else RUNNING
