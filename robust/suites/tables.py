"""Tables of a suite's results, from the JSON alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from robust.norm_noise import NOISES
from robust.report.table import Table
from robust.stats.compare import bootstrap_interval
from robust.stats.intervals import Interval
from robust.suites.cohort import Cohort
from robust.suites.condition import Condition
from robust.suites.contrasts import Contrast

CAPTION = "{what} in %, mean over training seeds and draws ± half of the 95 % interval over {over}"
_COLUMNS = (
    "variant", "trained_under", "seeds", "samples", "kind", "severity", "statistics", "repeats",
    "top1", "low", "high", "error", "loss", "over", "no_gradient",
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def accuracy(group: Cohort, condition: Condition) -> Interval:
    """A cohort's top-1 under a condition, in [0, 1], over seeds and samples."""
    return bootstrap_interval(group.right([condition]))


def table(groups: Sequence[Cohort]) -> Table:
    """One row for each condition, one column for each variant."""
    conditions = groups[0].results[0].cells()
    first = "noise" if any(condition.kind in NOISES for condition in conditions) else "condition"
    if not any(condition.severity for condition in conditions):
        first = "images"
    rows = [
        (c.kind, c.label, c.statistics, *(_shown(group, c) for group in groups)) for c in conditions
    ]
    titles = (group.title for group in groups)
    return Table((first, "severity", "statistics", *titles), rows, words=3, caption=caption(groups))


def tidy_csv(groups: Sequence[Cohort]) -> str:
    """One row for each variant and condition, with all digits."""
    rows = []
    for group in groups:
        first = group.results[0]
        for condition in first.cells():
            interval = accuracy(group, condition)
            outcomes = [o for result in group.results for o in result.of(condition)]
            loss = sum(o.loss for o in outcomes) / len(outcomes)
            rows.append(
                (
                    group.label,
                    group.trained_under,
                    f"{len(group.seeds)}",
                    f"{first.n}",
                    condition.kind,
                    str(condition.severity),
                    condition.statistics,
                    f"{len(first.of(condition))}",
                    *map(_number, (interval.mean, interval.low, interval.high)),
                    _number(1 - interval.mean),
                    _number(loss),
                    interval.over,
                    f"{group.no_gradient([condition])}",
                )
            )
    return Table(_COLUMNS, rows).csv()


def unproved(groups: Sequence[Cohort]) -> list[str]:
    """A warning for each variant and condition whose accuracy is only an upper bound."""
    warnings = []
    for group in groups:
        for condition in group.results[0].cells():
            if count := group.no_gradient([condition]):
                right = sum(int(o.correct.sum()) for r in group.results for o in r.of(condition))
                warnings.append(
                    f"warning: {group.title}, {condition.kind} {condition.label}: the attack had "
                    f"no gradient (0, or not finite) for {count} of the {right} right answers; "
                    "that they are right shows nothing, and the accuracy (≤) is an upper bound"
                )
    return warnings


def _shown(group: Cohort, condition: Condition) -> str:
    shown = percent(accuracy(group, condition))
    return f"≤ {shown}" if group.no_gradient([condition]) else shown


def caption(groups: Sequence[Cohort], *, what: str = "top-1 accuracy") -> str:
    """What the numbers are: ``what`` in %, means over seeds and draws."""
    first = groups[0].results[0]
    overs = dict.fromkeys(accuracy(group, first.clean.condition).over for group in groups)
    seeds = {len(group.seeds) for group in groups}
    many = "seeds" if max(seeds) > 1 else "seed"
    counts = "–".join(map(str, sorted({min(seeds), max(seeds)})))
    about = f"{first.n} test images, {counts} training {many}"
    return CAPTION.format(what=what, over=" / ".join(overs)) + f"; {about}"


def sentences(contrasts: Sequence[Contrast]) -> list[str]:
    """Contrasts as lines, grouped by situation."""
    lines = []
    for situation in dict.fromkeys((v.trained_under, v.situation) for v in contrasts):
        under, what = situation
        lines.append(what + (f", trained under {under}" if under else "") + ":")
        lines += [
            f"- {v.comparison.sentence}"
            for v in contrasts
            if (v.trained_under, v.situation) == situation
        ]
    return lines


def percent(interval: Interval) -> str:
    """Mean ± half the interval, in percent."""
    return interval.plus_minus(1, scale=100)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
