"""The facts in a saved model: its stock model, and what was done to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from torch import nn

from asr_core import limits
from asr_core.errors import CheckpointError, InputError
from asr_core.models.normalized import CHANNELS, Normalized, check_statistics
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.schema import Name, Number, Several, Text, parse, record

KIND = "asr-model"
_LARGEST = 1_000_000


def _argument(value: Any) -> Any:
    # No text, which builders might take for paths or addresses to read.
    if not isinstance(value, bool | int | float) or not abs(value) <= _LARGEST:
        raise ValueError(f"it must be a number, at most {_LARGEST}, or boolean")
    return value


@record
@dataclass(frozen=True)
class StockModel:
    """The plain model that a saved one was made from.

    Attributes:
        name: its name for a builder ("resnet18", "asr:resnet164+se", "timm:resnet18",
            "package.module:factory").
        arguments: the builder's arguments, numbers and booleans ({"num_classes": 10}).
        input_shape: shape of one sample, for example (3, 224, 224).
        mean: means of the colour channels for :class:`asr_core.models.Normalized`; None for a model
            without normalisation.
        std: their standard deviations.

    Raises:
        InputError: an empty name, arguments that are not numbers or booleans, an empty or too large
            shape, one of mean and std alone, or both for inputs other than images (3, H, W).
    """

    name: Name
    arguments: dict[Name, Annotated[Any, PlainValidator(_argument)]] = field(default_factory=dict)
    input_shape: Annotated[
        Several[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=8)
    ] = (3, 224, 224)
    mean: Several[Number] | None = None
    std: Several[Number] | None = None

    def __post_init__(self) -> None:
        shape = self.input_shape
        if math.prod(shape) > limits.SAMPLE:
            raise InputError(f"input_shape {shape} is of more than {limits.SAMPLE} numbers")
        if self.mean is None and self.std is None:
            return
        if self.mean is None or self.std is None:
            raise InputError(f"mean and std go together, got {self.mean!r} and {self.std!r}")
        check_statistics(self.mean, self.std)
        # One channel would silently broadcast against the three of mean and std.
        if len(shape) != 3 or shape[0] != CHANNELS:
            raise InputError(f"mean and std are of images (3, H, W), got input_shape {shape!r}")

    def normalized(self, model: nn.Module) -> nn.Module:
        """``model`` after the normalisation, if there is any."""
        if self.mean is None or self.std is None:
            return model
        return Normalized(model, self.mean, self.std)


@record
@dataclass(frozen=True, kw_only=True)
class Insertion:
    """The arguments of the :func:`asr_core.insert_asr` call that rebuilds the gates.

    Old files lack those with defaults; their gates always created γ and β.
    """

    attention: Name
    delta: Annotated[int, Field(ge=1, le=limits.DELTA)]
    psi: Number
    activation: Name
    attention_init: Number | None
    targets: list[Text]
    inputs: list[Text] = field(default_factory=list)
    create_affine: bool = True
    control: Name | None = None
    shared: list[list[Text]] | None


@record
@dataclass(frozen=True, kw_only=True)
class Made:
    """How a model was made, for people.

    Attributes:
        how: of its training: names, numbers and texts.
        numbers: measured after the training.
        steps: what was done after that, in order, a sentence each.
    """

    how: dict[Name, Any] = field(default_factory=dict)
    numbers: dict[Name, Number] = field(default_factory=dict)
    steps: list[Text] = field(default_factory=list)

    def tested(self, figures: Mapping[str, float]) -> Made:
        """With figures of the test images as its numbers."""
        return replace(self, numbers={f"test {name}": value for name, value in figures.items()})

    def then(self, step: str) -> Made:
        """With one more step."""
        return replace(self, steps=[*self.steps, step])


@record
@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts in a saved model's header, or in the JSON file of an old one.

    Attributes:
        schema: that of the checkpoint, like ``sha256``.
        kind: kind of checkpoint.
        stock: the stock model's name, followed by the other fields of :class:`StockModel`.
        frozen: names of frozen live gates.
        asr: the insertion of the gates; None without gates.
        created: norms with γ and β that the stock model lacks and a fused gate left.
        merged: names of merged blocks.
        folded: folded (conv, bn) pairs.
        made: how the model was made; None where nobody said.
    """

    schema: int
    sha256: Text
    kind: Literal["asr-model"]
    stock: Text
    arguments: dict[str, Any]
    input_shape: list[Any]
    mean: list[Any] | None
    std: list[Any] | None
    frozen: list[Text]
    asr: Insertion | None
    created: list[Text] = field(default_factory=list)
    merged: list[Text]
    folded: list[tuple[Text, Text]]
    made: Made | None = None

    def __post_init__(self) -> None:
        if self.merged and self.asr is not None:
            raise InputError("'asr' beside 'merged': merged blocks have no gates")

    def stock_model(self, path: Path | str) -> StockModel:
        """The stock model; the errors name ``path``, and are those of :func:`facts_of`."""
        fields = {
            "name": self.stock,
            "arguments": self.arguments,
            "input_shape": self.input_shape,
            "mean": self.mean,
            "std": self.std,
        }
        return parse(StockModel, fields, where=str(path), error=CheckpointError)


def facts_of(path: Path | str) -> Facts:
    """The facts in a saved model, read without its tensors.

    Raises:
        CheckpointError: the facts are missing, damaged, of another kind or schema, or have
            unknown or missing fields, or impossible values.
    """
    return read_facts(path, load_meta(path))


def read_facts(path: Path | str, meta: Mapping[str, Any]) -> Facts:
    """The facts of a checkpoint whose header was read; errors as of :func:`facts_of`."""
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{path}: a checkpoint of kind {meta.get('kind')!r}, not {KIND!r}")
    return parse(Facts, meta, where=str(path), error=CheckpointError)
