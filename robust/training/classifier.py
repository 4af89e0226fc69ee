"""A training run of a classifier as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asr_core.saving.schema import parse
from asr_core.stripes import RECORDED_IMAGES
from asr_core.training import TrainConfig
from asr_core.training.config import FIELDS as CONFIG_FIELDS
from asr_core.training.folder import SCHEMA
from robust.norm_noise.training import NO_NOISE, TrainNoise
from robust.training.run_file import NOISE, check_fields, train_noise

FIELDS = (*CONFIG_FIELDS, *NOISE, "record_attention")
"""What a run file of a classifier may say."""


@dataclass(frozen=True, kw_only=True)
class ClassifierRun:
    """All that decides a run of a classifier but the data and the machine.

    Attributes:
        config: network, recipe, seed and precision.
        noise: that it trains under.
        record_attention: whether the gates are kept after each epoch, for stripes.
    """

    config: TrainConfig
    noise: TrainNoise = NO_NOISE
    record_attention: bool = False

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ClassifierRun:
        """The run that a run file or options say.

        Args:
            fields: names in :data:`FIELDS`; batch noise sets the batch size.

        Raises:
            InputError: an unknown field, or a value that no run can have.
        """
        check_fields(fields, FIELDS)
        noise = train_noise(fields)
        rest = {name: value for name, value in fields.items() if name not in NOISE}
        recorded = parse(bool, rest.pop("record_attention", False), where="record_attention")
        size = noise.batch_size(rest.pop("batch_size", None))
        config = TrainConfig.from_fields({**rest, **size})
        return cls(config=config, noise=noise, record_attention=recorded)

    @property
    def variant(self) -> str:
        """Mode and attention, such as "asr-se"; "plain" has no attention."""
        mode = self.config.mode
        return mode if mode == "plain" else f"{mode}-{self.config.attention}"

    @property
    def name(self) -> str:
        """Of its folder, unless another is chosen."""
        noise = self.noise.severity
        under = "" if noise is None else f"-{noise.noise}"
        return f"{self.config.recipe.name}-{self.variant}{under}-{self.config.seed}"

    @property
    def setting(self) -> dict[str, Any]:
        """What decides the run beside its config, for :func:`asr_core.training.train`."""
        recorded = {"record_attention": RECORDED_IMAGES} if self.record_attention else {}
        return {**self.noise.setting(), **recorded}

    @property
    def identity(self) -> dict[str, Any]:
        """What an earlier run must have in common with this one to count as the same."""
        return {"config": self.config.as_dict(), "setting": self.setting}

    def as_dict(self) -> dict[str, Any]:
        """A run file: what ``config.json`` says before the data is known."""
        return {"schema": SCHEMA, **self.identity}
