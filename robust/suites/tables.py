"""Tables of a suite's results, from the JSON alone: Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Sequence

from robust.norm_noise import NOISES
from robust.report import escape
from robust.stats.compare import bootstrap_interval
from robust.stats.intervals import Interval
from robust.suites.cohort import Cohort
from robust.suites.condition import Condition
from robust.suites.verdicts import Verdict

CAPTION = "{what} in %, mean over training seeds and draws ± half of the 95 % interval over {over}"
_COLUMNS = (
    "variant", "trained_under", "seeds", "samples", "kind", "severity", "statistics", "repeats",
    "top1", "low", "high", "error", "loss", "over", "no_gradient",
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def accuracy(group: Cohort, condition: Condition) -> Interval:
    """A cohort's top-1 under a condition, in [0, 1], over seeds and samples."""
    return bootstrap_interval(group.right([condition]))


def markdown(groups: Sequence[Cohort]) -> str:
    """One row a condition, one column a variant; the statistics stand in every row."""
    header, rows = grid(groups)
    lines = [*escape.markdown_table(header, rows), "", f"{caption(groups).capitalize()}.", ""]
    return "\n".join(lines)


def latex(groups: Sequence[Cohort]) -> str:
    """The same as a booktabs ``tabular``, its caption as a comment."""
    header, rows = grid(groups)
    words = 3
    columns = "l" * words + "r" * (len(header) - words)
    body = [" & ".join(map(escape.latex, row)) + r" \\" for row in (header, *rows)]
    lines = [
        f"% {caption(groups)}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        body[0],
        r"\midrule",
        *body[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def tidy_csv(groups: Sequence[Cohort]) -> str:
    """One row a variant and condition, with all digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for group in groups:
        first = group.results[0]
        for condition in first.cells():
            found = accuracy(group, condition)
            outcomes = [o for result in group.results for o in result.of(condition)]
            loss = sum(o.loss for o in outcomes) / len(outcomes)
            writer.writerow(
                [
                    escape.csv_cell(group.label),
                    escape.csv_cell(group.trained_under),
                    len(group.seeds),
                    first.n,
                    *map(escape.csv_cell, map(str, (condition.kind, condition.severity))),
                    escape.csv_cell(condition.statistics),
                    len(first.of(condition)),
                    *(_number(v) for v in (found.mean, found.low, found.high)),
                    _number(1 - found.mean),
                    _number(loss),
                    found.over,
                    group.no_gradient([condition]),
                ]
            )
    return file.getvalue()


def grid(groups: Sequence[Cohort]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table, as text."""
    conditions = groups[0].results[0].cells()
    first = "noise" if any(condition.kind in NOISES for condition in conditions) else "condition"
    if not any(condition.severity for condition in conditions):
        first = "images"
    header = [first, "severity", "statistics", *(group.title for group in groups)]
    rows = [
        [
            condition.kind,
            condition.label,
            condition.statistics,
            *(_cell(group, condition) for group in groups),
        ]
        for condition in conditions
    ]
    return header, rows


def unproved(groups: Sequence[Cohort]) -> list[str]:
    """A warning about each variant and condition whose accuracy is an upper bound alone."""
    found = []
    for group in groups:
        for condition in group.results[0].cells():
            if count := group.no_gradient([condition]):
                right = sum(int(o.correct.sum()) for r in group.results for o in r.of(condition))
                found.append(
                    f"warning: {group.title}, {condition.kind} {condition.label}: the attack had "
                    f"no gradient (0, or not finite) for {count} of the {right} right answers; "
                    "that they are right shows nothing, and the accuracy (≤) is an upper bound"
                )
    return found


def _cell(group: Cohort, condition: Condition) -> str:
    found = percent(accuracy(group, condition))
    return f"≤ {found}" if group.no_gradient([condition]) else found


def caption(groups: Sequence[Cohort], *, what: str = "top-1 accuracy") -> str:
    """What the numbers are: ``what`` in %, and over what they are means."""
    first = groups[0].results[0]
    overs = dict.fromkeys(accuracy(group, first.clean.condition).over for group in groups)
    seeds = {len(group.seeds) for group in groups}
    many = "seeds" if max(seeds) > 1 else "seed"
    counts = "–".join(map(str, sorted({min(seeds), max(seeds)})))
    about = f"{first.n} test images, {counts} training {many}"
    return CAPTION.format(what=what, over=" / ".join(overs)) + f"; {about}"


def sentences(found: Sequence[Verdict]) -> list[str]:
    """Verdicts as lines, by situation; what several have in common is said once."""
    lines = []
    for situation in dict.fromkeys((v.trained_under, v.situation) for v in found):
        under, what = situation
        lines.append(what + (f", trained under {under}" if under else "") + ":")
        lines += [
            f"- {v.comparison.sentence}"
            for v in found
            if (v.trained_under, v.situation) == situation
        ]
    return lines


def percent(interval: Interval) -> str:
    """Mean ± half the interval, in percent."""
    if interval.low is None or interval.high is None:
        return f"{100 * interval.mean:.1f}"
    return f"{100 * interval.mean:.1f} ± {50 * (interval.high - interval.low):.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
