"""A training run of a classifier as data: what is trained, and on what."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from pydantic import Field

from asr_core import limits, recipes
from asr_core.attention import ATTENTIONS
from asr_core.data import ImageSet
from asr_core.errors import InputError
from asr_core.models import BACKBONES, GATED, MODES
from asr_core.models.normalized import check_statistics
from asr_core.recipes import DEFAULT, Recipe
from asr_core.recipes.recipe import FIELDS as RECIPE_FIELDS
from asr_core.registry import unknown_name
from asr_core.saving.schema import Name, Number, PlainRecord, Seed, Several, Text, record

_SPLITS = ("train", "validation", "test")
PRECISIONS = ("no", "bf16", "fp16")


@record
@dataclass(frozen=True, kw_only=True)
class TrainConfig(PlainRecord):
    """Everything that decides the final weights of a run, except the data.

    Attributes:
        recipe: backbone, data set, optimizer and schedule.
        mode: "plain", "live", "asr", "both", or a control, "frozen" or "free-v"
            (:func:`asr_core.models.build`).
        attention: name of the attention module; for gates also "const", a control.
        delta: δ, gates per position.
        psi: initial ψ; None for the backbone's (0.1, ViT 1e-3).
        zero_gamma: start the last γ of each residual branch at 0.
        seed: seed of the initial weights, the order and augmentation of the data, and the draws
            inside the model.
        data_folder: where the data set is; None for its usual place.
        precision: "no", or a lower precision of forward and backward, "bf16" or "fp16".
        accumulate: number of parts that each batch is split into, to save memory; the gradient is
            still that of the whole batch, while batch norms see a part at a time.
        channels_last: whether feature maps use channels-last memory.
        compile: whether the forward is compiled by torch.compile.

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
    _read: ClassVar[dict[str, Any]] = {"complete": True}

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
        """Whether the model has ASR, or a control in its place."""
        return self.mode in GATED

    @property
    def live(self) -> bool:
        """Whether the model has live attention, which stays."""
        return self.mode in ("live", "both")

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> TrainConfig:
        """A config from one flat table of names in :data:`FIELDS`, such as a run file's.

        ``recipe`` is the name of a shipped recipe, or a whole one as data; the recipe's other
        fields override it (:meth:`Recipe.override`).

        Raises:
            InputError: an unknown field, or a value out of its range.
        """
        changes = dict(given)
        for name in changes:
            if name not in FIELDS:
                raise unknown_name("field of a run", name, list(FIELDS))
        own = {name: changes.pop(name) for name in _OWN if name in changes}
        recipe = own.pop("recipe", DEFAULT)
        recipe = (
            recipes.load_recipe(recipe) if isinstance(recipe, str) else Recipe.from_dict(recipe)
        )
        return cls(recipe=recipe.override(**changes), **own)


_OWN = tuple(field.name for field in fields(TrainConfig))
FIELDS = (*_OWN, *(name for name in RECIPE_FIELDS if name not in ("name", "source", "notes")))
"""The fields of the config and of its recipe, which decide a run."""


@record
@dataclass(frozen=True, kw_only=True)
class DataFacts(PlainRecord):
    """Facts about a data set.

    Attributes:
        name: its name.
        classes: names of the classes.
        image_size: H = W of the images.
        mean: mean of each colour channel, in [0, 1].
        std: its standard deviation.
        sizes: number of images in train, validation and test.
        labels: hash of the labels of all splits in order, by which sets of the same name differ.
        border: what fills the pixels that augmentation uncovers; None for black, as in old runs.
    """

    name: Name
    classes: Annotated[Several[Text], Field(min_length=1, max_length=limits.CLASSES)]
    image_size: Annotated[int, Field(ge=1, le=limits.SIDE)]
    mean: Several[Number]
    std: Several[Number]
    sizes: Several[Annotated[int, Field(ge=0)]]
    labels: Text
    border: Text | None = None

    def __post_init__(self) -> None:
        check_statistics(self.mean, self.std)

    @classmethod
    def of(cls, data: ImageSet) -> DataFacts:
        """The facts of ``data``."""
        labels = [getattr(data, split).labels for split in _SPLITS]
        digest = hashlib.sha256(b"".join(each.numpy().tobytes() for each in labels))
        return cls(
            name=data.name,
            classes=tuple(data.classes),
            image_size=data.image_size,
            mean=tuple(data.mean),
            std=tuple(data.std),
            sizes=tuple(map(len, labels)),
            labels=digest.hexdigest()[:16],
            border=None if data.train.border == "black" else data.train.border,
        )
