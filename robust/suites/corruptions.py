"""The suite "corruptions": the 15 standard corruptions at severities 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from asr_core.errors import InputError
from robust.corruptions import FIXED, KINDS, SEVERITIES, corrupt, table_for
from robust.corruptions.score import (
    Errors,
    alexnet,
    corruption_errors,
    mean_corruption_error,
    mean_error,
)
from robust.suites.condition import CLEAN_KIND, Condition
from robust.suites.results import SuiteResult
from robust.suites.suite import SUITES, Suite, SuiteOptions

FROST = "drawn"
"""What tables say of frost: its textures are not the published photographs."""


@SUITES.register("corruptions")
class Corruptions(Suite):
    """Each corruption at each severity, on images as uint8, as :func:`robust.corruptions.corrupt`.

    Kinds in which chance has no part have one pass a severity, the others ``repeats``.

    Args:
        options: data, seed, repeats and severities ("1" to "5", none for all) are taken from it.

    Raises:
        InputError: another severity.
    """

    name = "corruptions"

    def __init__(self, options: SuiteOptions) -> None:
        self.severities = tuple(map(_severity, options.severities)) or SEVERITIES
        self.table = table_for(options.data.image_size, options.data.image_size)
        self._options = options

    def conditions(self) -> list[Condition]:
        """Kind by kind in the published order, from mild to strong."""
        return [
            Condition(kind, severity, repeat)
            for kind in KINDS
            for severity in sorted(set(self.severities))
            for repeat in range(1 if kind in FIXED else self._options.repeats)
        ]

    def apply(
        self,
        condition: Condition,
        model: nn.Module,
        images: Tensor,
        *,
        indices: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """The logits for the corrupted images."""
        corrupted = corrupt(
            (images * 255).round().byte(),
            condition.kind,
            int(condition.severity),
            indices=indices,
            seed=self._options.seed,
            draw=condition.repeat,
            table=self.table,
        )
        logits: Tensor = model(corrupted.to(images) / 255)
        return logits

    def settings(self) -> dict[str, Any]:
        """Seed, repeats, the table of severities, and where the frost comes from."""
        return {
            "seed": self._options.seed,
            "repeats": self._options.repeats,
            "data": self._options.data.name,
            "severity_table": f"published for {self.table} pixels",
            "frost": FROST,
        }


def _severity(text: str) -> int:
    if text not in map(str, SEVERITIES):
        raise InputError(f"severity {text!r} of corruptions is not one of 1, 2, 3, 4, 5")
    return int(text)


@dataclass(frozen=True)
class Score:
    """All corruptions in one figure.

    Attributes:
        name: of the figure: "mean error", "mCE", or "mCE relative to the plain twin".
        value: a share in [0, 1], or for mCE a ratio, 1 for a model like the reference.
        kinds: the same of each kind.
    """

    name: str
    value: float
    kinds: dict[str, float]


def errors(result: SuiteResult) -> dict[str, list[float]]:
    """The error of each kind, severity by severity, the mean over repeats; without the clean one.

    Raises:
        InputError: the result is of another suite.
    """
    if result.suite != Corruptions.name:
        raise InputError(f"a result of {result.suite!r} has no corruptions; run corruptions")
    rows: dict[str, list[float]] = {}
    for condition in result.cells():
        if condition.kind != CLEAN_KIND:
            outcomes = result.of(condition)
            error = sum(outcome.error for outcome in outcomes) / len(outcomes)
            rows.setdefault(condition.kind, []).append(error)
    return rows


def score(result: SuiteResult, *, baseline: SuiteResult | None = None) -> Score:
    """The figure that stands for a result of the suite.

    With a baseline it is the mCE relative to that plain twin; on ImageNet without one, mCE against
    AlexNet's published errors; elsewhere, where no such figures were published, the mean error.

    Raises:
        InputError: a result of another suite, or of other kinds, severities or settings.
    """
    found = errors(result)
    if baseline is not None:
        _check_alike(result, baseline)
        return _relative("mCE relative to the plain twin", found, errors(baseline))
    if result.settings["data"] == "imagenet":
        return _relative("mCE", found, alexnet(found))
    kinds = {kind: mean_error({kind: row}) for kind, row in found.items()}
    return Score("mean error", mean_error(found), kinds)


def _relative(name: str, found: Errors, reference: Errors) -> Score:
    kinds = corruption_errors(found, reference)
    return Score(name, mean_corruption_error(found, reference), kinds)


def _check_alike(result: SuiteResult, baseline: SuiteResult) -> None:
    if dict(result.settings) != dict(baseline.settings) or result.n != baseline.n:
        raise InputError(
            f"the baseline was run otherwise: {dict(baseline.settings)}, {baseline.n} images; the "
            f"model: {dict(result.settings)}, {result.n} images. Run both alike"
        )
