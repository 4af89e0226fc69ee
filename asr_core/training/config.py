"""A training run of a classifier, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from asr_core import limits
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError
from asr_core.models import BACKBONES, MODES
from asr_core.recipes import Recipe
from asr_core.registry import unknown_name
from asr_core.saving.schema import Number, Seed, Text, parse, plain, record

PRECISIONS = ("no", "bf16", "fp16")


@record
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All that decides the weights that a run ends with, but the data itself.

    Attributes:
        recipe: backbone, data set, optimizer and schedule.
        mode: "plain", "live", "asr" or "both" (:func:`asr_core.models.build`).
        attention: name of the attention module; in mode "asr" also "const", the control.
        delta: δ, gates a position.
        psi: start of ψ; None for the backbone's own (0.1, ViT 1e-3).
        zero_gamma: start the last γ of each residual branch at 0.
        seed: of the initial weights, the order and augmentation of the data, and the draws inside
            the model.
        data_folder: where the data set is; None for its usual place.
        precision: "no", or the lower precision of forward and backward, "bf16" or "fp16".
        accumulate: parts that each batch is split into, for less memory; the gradient stays that
            of the whole batch, while batch norms see a part at a time.
        channels_last: whether feature maps lie in memory pixel by pixel.
        compile: whether the forward goes through torch.compile.

    Raises:
        InputError: an unknown name, a number out of its range, or options of ASR without ASR.
    """

    recipe: Recipe
    mode: Text = "asr"
    attention: Text = "se"
    delta: Annotated[int, Field(ge=1, le=limits.DELTA)] = 1
    psi: Number | None = None
    zero_gamma: bool = False
    seed: Seed = 0
    data_folder: Text | None = None
    precision: Text = "no"
    accumulate: Annotated[int, Field(ge=1, le=limits.BATCH)] = 1
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        BACKBONES[self.recipe.backbone]  # an unknown name lists the known ones
        ATTENTIONS[self.attention]
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, list(MODES))
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, list(PRECISIONS))
        if not self.gated and (self.delta != 1 or self.psi is not None):
            given = "delta" if self.delta != 1 else "psi"
            raise InputError(
                f"mode {self.mode!r} has no ASR, and so no {given}; choose mode 'asr' or 'both'"
            )

    @property
    def gated(self) -> bool:
        """Whether the model has ASR."""
        return self.mode in ("asr", "both")

    @property
    def live(self) -> bool:
        """Whether the model has attention on its features, which stays."""
        return self.mode in ("live", "both")

    def as_dict(self) -> dict[str, Any]:
        """The config as JSON-able data, which :meth:`from_dict` reads."""
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """The config that :meth:`as_dict` wrote.

        Raises:
            InputError: an unknown or missing field, or a value out of its range.
        """
        return parse(cls, data, complete=True)
