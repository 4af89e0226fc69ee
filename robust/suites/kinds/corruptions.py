"""The suite "corruptions": the 15 standard corruptions at severities 1 to 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from asr_core.errors import InputError
from robust.corruptions import FIXED, KINDS, SEVERITIES, corrupt, table_for
from robust.corruptions.score import (
    Errors,
    alexnet,
    corruption_errors,
    mean,
    mean_corruption_error,
    mean_error,
)
from robust.norm_noise import RUNNING
from robust.suites.cohort import Cohort
from robust.suites.condition import CLEAN_KIND, Condition
from robust.suites.results import SuiteResult
from robust.suites.suite import SUITES, Samples, Suite, SuiteOptions

MEAN, MCE, TO_TWIN = "mean error", "mCE", "mCE relative to the plain twin"

FROST = "drawn"
"""What tables say about frost, whose textures are not the published photographs."""


@SUITES.register("corruptions")
class Corruptions(Suite):
    """Each corruption at each severity (:func:`robust.corruptions.corrupt`).

    Deterministic kinds take one pass per severity, the others ``repeats``. Of the options it takes
    data, seed, repeats, severities ("1" to "5", none for all) and baseline.

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

    def disturbed(self, condition: Condition, samples: Samples) -> Tensor:
        """The corrupted images, whole grey levels of 255."""
        corrupted = corrupt(
            (samples.images * 255).round().byte(),
            condition.kind,
            int(condition.severity),
            indices=samples.indices,
            seed=self._options.seed,
            draw=condition.repeat,
            table=self.table,
        )
        return corrupted.to(samples.images) / 255

    def settings(self) -> dict[str, Any]:
        """Seed, repeats, the table of severities, and where the frost comes from."""
        return {
            "seed": self._options.seed,
            "repeats": self._options.repeats,
            "data": self._options.data.name,
            "severity_table": _published(self.table),
            "frost": FROST,
        }

    def notes(self, groups: Sequence[Cohort]) -> list[str]:
        """The origin of frost, and each variant's figure over all corruptions."""
        twin = self._options.baseline
        baseline = [g for g in groups if any(r.meta.get("name") == twin for r in g.results)]
        said = [
            f"frost: {FROST} by code, not the published photographs; severities "
            f"{self.settings()['severity_table']}"
        ]
        reference = baseline[0].results if baseline else ()
        after = f" ({baseline[0].title})" if baseline else ""
        for name in dict.fromkeys(c.statistics for c in groups[0].results[0].cells()):
            adapted = "" if name == RUNNING else f" on {name} statistics"
            try:
                scores = [
                    (group.title, score(group.results, baseline=reference, statistics=name))
                    for group in groups
                ]
            except InputError as error:
                return [*said, f"{TO_TWIN}: none ({error})"]
            figures = ", ".join(f"{title} {100 * each.value:.1f} %" for title, each in scores)
            said.append(f"{scores[0][1].name}{after}{adapted}: {figures}")
        return said


def _severity(text: str) -> int:
    if text not in map(str, SEVERITIES):
        raise InputError(f"severity {text!r} of corruptions is not one of 1, 2, 3, 4, 5")
    return int(text)


@dataclass(frozen=True)
class Score:
    """All corruptions in one figure.

    Attributes:
        name: "mean error", "mCE" or "mCE relative to the plain twin".
        value: a share in [0, 1], or for mCE a ratio, 1 for a model like the reference.
        kinds: the same for each kind.
    """

    name: str
    value: float
    kinds: dict[str, float]


def errors(results: Sequence[SuiteResult], statistics: str = RUNNING) -> dict[str, list[float]]:
    """The error of each kind, severity by severity: the mean over repeats, then over results.

    ``statistics`` names those of the conditions that count.

    Raises:
        InputError: no results, one of another suite, or results under other settings.
    """
    _check_alike(results)
    rows: dict[str, list[float]] = {}
    for condition in results[0].cells():
        if condition.kind != CLEAN_KIND and condition.statistics == statistics:
            each = [mean([o.error for o in result.of(condition)]) for result in results]
            rows.setdefault(condition.kind, []).append(mean(each))
    return rows


def score(
    results: Sequence[SuiteResult],
    *,
    baseline: Sequence[SuiteResult] = (),
    statistics: str = RUNNING,
) -> Score:
    """One figure for the suite, over networks that differ only in their training seed.

    With a ``baseline``, the mCE relative to that plain twin on running statistics, whatever the
    ``statistics`` of ``results``: adapted scores stand beside the others. Without one, the mCE
    relative to AlexNet's published errors where those apply (ImageNet's test split, strengths for
    224 pixels, all severities), else the mean error.

    Raises:
        InputError: no results, or results of other suites, severities or settings.
    """
    _check_alike([*results, *baseline])
    ours = errors(results, statistics)
    if baseline:
        return _relative(TO_TWIN, ours, errors(baseline))
    if _as_published(results[0]) and all(len(row) == 5 for row in ours.values()):
        return _relative(MCE, ours, alexnet(ours))
    kinds = {kind: mean_error({kind: row}) for kind, row in ours.items()}
    return Score(MEAN, mean_error(ours), kinds)


def _as_published(result: SuiteResult) -> bool:
    """Whether it is on the images that AlexNet's errors were published for."""
    settings, data = result.settings, result.meta.get("data", {})
    where = settings["data"], settings["severity_table"], data.get("split", "test")
    return where == ("imagenet", _published("224"), "test")


def _published(table: str) -> str:
    return f"published for {table} pixels"


def _relative(name: str, ours: Errors, reference: Errors) -> Score:
    kinds = corruption_errors(ours, reference)
    return Score(name, mean_corruption_error(ours, reference), kinds)


def _check_alike(results: Sequence[SuiteResult]) -> None:
    if not results:
        raise InputError("there are no results of corruptions")
    for result in results:
        if result.suite != Corruptions.name:
            raise InputError(f"a result of {result.suite!r} has no corruptions; run corruptions")
        first = results[0]
        if dict(result.settings) != dict(first.settings) or result.cells() != first.cells():
            raise InputError(
                f"{first.meta.get('name')} and {result.meta.get('name')} were corrupted under "
                f"other settings ({dict(first.settings)} and {dict(result.settings)}); use the same"
            )
