"""What an attack run does, as data: networks, noises, severities, draws and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asr_core import limits
from asr_core.draws import check_seed
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.norm_noise import (
    GRANULARITIES,
    GRANULARITY_OF_TESTS,
    REESTIMATED,
    RUNNING,
    BatchNoise,
    Severity,
    batch_name,
)
from robust.style.objective import Objective
from styletransfer.zoo import StyleCheckpoint

STATISTICS = (RUNNING, "batch", REESTIMATED)
"""What BatchNorm normalises by where the noise leaves the choice (clean, constant, random)."""


@dataclass(frozen=True)
class AttackPlan:
    """One run on one style.

    Attributes:
        networks: checkpoints of one style; any norm variants and training seeds.
        severities: of one noise or of several.
        draws: how often a noise that depends on chance is drawn for each image.
        seed: of the draws of noise; not the training seed.
        size: side to which pictures are resized and cropped, in pixels; a multiple of 4.
        granularity: of random noise.
        statistics: one of ``STATISTICS``.
        batch_size: with ``statistics="batch"``, images in that batch.
        controls_for: norm variants that controls are run on, as batch noise of one image; None for
            all.
        objective: of the training, which is measured.
    """

    networks: tuple[StyleCheckpoint, ...]
    severities: tuple[Severity, ...]
    draws: int = 2
    seed: int = 0
    size: int = 256
    granularity: str = GRANULARITY_OF_TESTS
    statistics: str = RUNNING
    batch_size: int = 4
    controls_for: tuple[str, ...] | None = None
    objective: Objective = field(default_factory=Objective)

    def __post_init__(self) -> None:
        if not self.networks or not self.severities:
            raise InputError("an attack needs at least one network and one severity")
        limits.whole("repeats", self.draws, 1, limits.REPEATS)
        check_seed(self.seed)
        limits.whole("size", self.size, 64, limits.SIDE)
        if self.size % 4:
            raise InputError(f"size is {self.size}; it must be a multiple of 4")
        limits.check_batch(self.batch_size, self.size)
        if self.granularity not in GRANULARITIES:
            raise unknown_name("granularity", self.granularity, list(GRANULARITIES))
        if self.statistics not in STATISTICS:
            raise unknown_name("statistics", self.statistics, list(STATISTICS))
        if len({network.style for network in self.networks}) > 1:
            styles = sorted({network.style for network in self.networks})
            raise InputError(
                f"one run attacks one style, got {', '.join(styles)}; choose one of them"
            )
        if len(sizes := {network.stroke_size for network in self.networks}) > 1:
            raise InputError(
                f"one run attacks one stroke size, got {', '.join(map(str, sorted(sizes)))}"
            )

    @property
    def norms(self) -> list[str]:
        """The norm variants, in the order of the networks."""
        return list(dict.fromkeys(network.norm for network in self.networks))

    @property
    def training_seeds(self) -> list[int]:
        """The training seeds of the networks, ascending."""
        return sorted({network.seed for network in self.networks})

    def severities_of(self, norm: str) -> list[Severity]:
        """The severities that a norm variant is put under."""
        spared = self.controls_for is not None and norm not in self.controls_for
        return [s for s in self.severities if not (spared and s.is_control)]

    def draws_of(self, severity: Severity, norm: str) -> int:
        """How many draws a severity takes: one where chance has no part."""
        if isinstance(severity, BatchNoise) and norm == "in":
            return 1  # instance norm never sees its companions
        return self.draws if severity.by_chance else 1

    @property
    def outputs_per_image(self) -> int:
        """Stylised pictures that one image gives, for progress."""
        return sum(
            1 + sum(self.draws_of(s, network.norm) for s in self.severities_of(network.norm))
            for network in self.networks
        )

    def statistics_name(self, severity: Severity | None, norm: str) -> str:
        """The statistics in use, for tables: running, batch (n = 4), re-estimated, or instance."""
        if norm == "in":
            return "instance"
        if isinstance(severity, BatchNoise):
            return batch_name(severity.size)
        return batch_name(self.batch_size) if self.statistics == "batch" else self.statistics

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-able data; networks by style, norm, seed and hash."""
        return {
            "networks": [
                {
                    "style": network.style,
                    "norm": network.norm,
                    "seed": network.seed,
                    "file": network.path.name,
                    "sha256": network.sha256,
                }
                for network in self.networks
            ],
            "noises": [{"noise": s.noise, "severity": s.text} for s in self.severities],
            "draws": self.draws,
            "seed": self.seed,
            "size": self.size,
            "granularity": self.granularity,
            "statistics": self.statistics,
            "norm_modes": {
                norm: {
                    "clean": self.statistics_name(None, norm),
                    **{
                        f"{severity.noise} {severity.text}": self.statistics_name(severity, norm)
                        for severity in self.severities_of(norm)
                    },
                }
                for norm in self.norms
            },
            "batch_size": self.batch_size,
            "loss": self.objective.as_dict(),
        }
