"""The result of a suite on one model, as JSON: one file for each model and suite.

For each condition the file keeps which samples the model had right, one bit a sample, so that
models can be compared sample by sample later.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from asr_core.errors import InputError
from asr_core.saving.files import write_json
from asr_core.saving.schema import Name, Number, Seed, Text, parse, record
from asr_core.saving.text_files import read_json
from robust.suites.condition import CLEAN, Condition

SCHEMA = 1
_Share = Annotated[Number, Field(ge=0, le=1)]


@dataclass(frozen=True, eq=False)
class Outcome:
    """A model under one condition.

    Attributes:
        condition: the condition.
        top1: share of samples that the model has right, in [0, 1].
        loss: mean cross-entropy; not finite if the logits are not.
        correct: whether the model has each sample right, bool (n,), in the split's order.
        seconds: wall-clock time of the pass.
        top5: share of samples whose class is among the greatest five logits; clean pass only.
        no_gradient: for attacks by gradients, how many of the samples that the model has right
            gave no gradient to follow: unless 0, ``top1`` is an upper bound.
    """

    condition: Condition
    top1: float
    loss: float
    correct: Tensor
    seconds: float
    top5: float | None = None
    no_gradient: int | None = None

    @property
    def error(self) -> float:
        """Share of samples that the model has wrong."""
        return 1 - self.top1


@dataclass(frozen=True, eq=False)
class SuiteResult:
    """A model under all conditions of a suite.

    Attributes:
        suite: name of the suite.
        meta: the model and the data (:func:`robust.suites.subject.Subject.meta`).
        settings: what else decides the results (:meth:`robust.suites.Suite.settings`).
        outcomes: the clean one first.
    """

    suite: str
    meta: Mapping[str, Any]
    settings: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def clean(self) -> Outcome:
        """The outcome without any condition, on running statistics."""
        return self.outcomes[0]

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.clean.correct)

    def cells(self) -> list[Condition]:
        """The conditions without their repeats: those of repeat 0."""
        return [o.condition for o in self.outcomes if o.condition.repeat == 0]

    def of(self, condition: Condition) -> list[Outcome]:
        """The outcomes of a condition's repeats.

        Raises:
            InputError: the condition was not run.
        """
        outcomes = [o for o in self.outcomes if o.condition.cell == condition.cell]
        if not outcomes:
            raise InputError(f"{self.suite} has no {condition.kind} {condition.severity}".rstrip())
        return outcomes

    def share_right(self, condition: Condition) -> np.ndarray:
        """The share of the condition's repeats that have each sample right, float (n,)."""
        return np.mean([o.correct.numpy() for o in self.of(condition)], axis=0)

    def save(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data, which :func:`from_dict` reads."""
        return {
            "schema": SCHEMA,
            "suite": self.suite,
            "meta": dict(self.meta),
            "settings": dict(self.settings),
            "n": self.n,
            "conditions": [
                {
                    **asdict(o.condition),
                    "top1": o.top1,
                    "error": o.error,
                    # JSON knows no NaN and no infinity
                    "loss": o.loss if math.isfinite(o.loss) else None,
                    **({} if o.top5 is None else {"top5": o.top5}),
                    **({} if o.no_gradient is None else {"no_gradient": o.no_gradient}),
                    "seconds": round(o.seconds, 3),
                    "correct": packed(o.correct),
                }
                for o in self.outcomes
            ],
        }


@record
@dataclass(frozen=True, kw_only=True)
class _Data:
    name: Text
    split: Text
    images: int
    image_size: int | None = None
    labels: Text | None = None


@record
@dataclass(frozen=True, kw_only=True)
class _Meta:
    name: Name | None = None
    file: Text | None = None
    sha256: Text | None = None
    model: Text | None = None
    gates: int | None = None
    trained_under: Text | None = None
    norm_layers: int | None = None
    batch_norms: int | None = None
    variant: Text | None = None
    mode: Text | None = None
    attention: Text | None = None
    zero_gamma: bool | None = None
    recipe: Text | None = None
    seed: Seed | None = None
    data: _Data | None = None
    precision: Text | None = None
    command: list[Text] | None = None


@record
@dataclass(frozen=True, kw_only=True)
class _Condition:
    kind: Name
    severity: Text | int | float
    repeat: Annotated[int, Field(ge=0)]
    statistics: Text
    top1: _Share
    error: _Share
    loss: Number | None
    seconds: Annotated[Number, Field(ge=0)]
    correct: str
    top5: _Share | None = None
    no_gradient: Annotated[int, Field(ge=0)] | None = None


@record
@dataclass(frozen=True, kw_only=True)
class _Result:
    schema: Literal[1]
    suite: Name
    meta: _Meta
    settings: dict[str, Any]
    n: Annotated[int, Field(ge=1)]
    conditions: list[_Condition]


def load_result(path: Path) -> SuiteResult:
    """Read what :meth:`SuiteResult.save` wrote.

    Raises:
        InputError: the file is missing, no JSON, or not of this kind.
    """
    whole = read_json(path)
    try:
        return from_dict(whole)
    except InputError as error:
        raise InputError(f"{path}: not the result of a suite: {error}") from None


def from_dict(data: Mapping[str, Any]) -> SuiteResult:
    """The result that :meth:`SuiteResult.as_dict` gave.

    Raises:
        InputError: another schema, unknown or missing fields, values out of range, no clean outcome
            first, or bits that do not fit.
    """
    result = parse(_Result, data)
    outcomes = tuple(_outcome(entry, result.n) for entry in result.conditions)
    if not outcomes or outcomes[0].condition != CLEAN:
        raise InputError("it does not begin with the clean outcome")
    return SuiteResult(result.suite, data["meta"], result.settings, outcomes)


def _outcome(entry: _Condition, n: int) -> Outcome:
    correct = unpacked(entry.correct, n)
    loss = math.nan if entry.loss is None else entry.loss
    condition = Condition(entry.kind, entry.severity, entry.repeat, entry.statistics)
    if not math.isclose(correct.double().mean().item(), entry.top1, abs_tol=1e-9):
        raise InputError(f"{condition.kind}: top-1 {entry.top1} is not that of its samples")
    return Outcome(
        condition, entry.top1, loss, correct, entry.seconds, entry.top5, entry.no_gradient
    )


def packed(correct: Tensor) -> str:
    """Bool (n,) as base64 of its bits, eight a byte, the first in the highest place."""
    return base64.b64encode(np.packbits(correct.numpy()).tobytes()).decode("ascii")


def unpacked(text: str, n: int) -> Tensor:
    """The ``n`` bits that :func:`packed` wrote, bool (n,).

    Raises:
        InputError: not base64, or not of ``n`` bits.
    """
    try:
        raw = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise InputError(f"bits that are no base64 ({error})") from None
    if len(raw) != -(-n // 8):
        raise InputError(f"{len(raw)} bytes cannot hold {n} bits")
    return torch.from_numpy(np.unpackbits(raw, count=n).astype(bool))
