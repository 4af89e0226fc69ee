"""The answers to a sweep's claims: paired differences over seeds, in plain words.

"Better than all the others" is an intersection: it is supported where each comparison is above 0 by
its own 95 % interval, and needs no correction (Berger 1982, Multiparameter hypothesis testing and
acceptance sampling). That one of the others is better is a union: the claim is contradicted only by
an interval that allows for the number of comparisons (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.report import escape
from robust.stats.answer import Answer, answer_to, in_all, visible
from robust.stats.intervals import Interval, mean_interval
from robust.sweep.grid import FIGURES, Claim, Value
from robust.sweep.results import Results


@dataclass(frozen=True)
class ClaimAnswer:
    """The answer to a claim in one row of the table, or over all rows.

    Attributes:
        claim: the claim.
        where: label of the row, or "all rows".
        answer: supported if the better value is better than each of the others, contradicted if it
            is worse than one, not tested with fewer than two seeds.
        differences: better minus each of the others, in points, with 95 % intervals.
        seeds: number of paired seeds.
        sentence: the answer in words.
    """

    claim: Claim
    where: str
    answer: Answer
    differences: dict[Value, Interval]
    seeds: int
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "claim": self.claim.say,
            "where": self.where,
            "answer": self.answer,
            "seeds": self.seeds,
            "sentence": self.sentence,
            "differences": [
                {"better": self.claim.better, "than": value, "points": each.mean}
                | {"low": each.low, "high": each.high}
                for value, each in self.differences.items()
            ],
        }


def answers(results: Results) -> list[ClaimAnswer]:
    """The answer to each claim: over all rows and, if there are several, in each.

    The table's rows are not a sample: over all rows, each seed gives the mean of the rows, and the
    interval is over seeds.
    """
    sweep = results.sweep
    values = results.figure(sweep.figures[0])  # (rows, columns, seeds)
    axes, given = list(sweep.axes)[:-1], []
    for claim in sweep.claims:
        given.append(_answer(results, claim, "all rows", values.mean(0)))
        for i, point in enumerate(sweep.rows if len(sweep.rows) > 1 else ()):
            labels = [sweep.label(axis, value) for axis, value in zip(axes, point, strict=True)]
            given.append(_answer(results, claim, ", ".join(labels), values[i]))
    return given


def _answer(results: Results, claim: Claim, where: str, values: NDArray[np.float64]) -> ClaimAnswer:
    """The answer from ``values`` (columns, seeds)."""
    sweep = results.sweep
    involved = [sweep.columns.index(value) for value in (claim.better, *claim.than)]
    paired = values[involved][:, ~np.isnan(values[involved]).any(0)]  # (1 + others, seeds)
    seeds = paired.shape[1]
    if seeds < 2:
        sentence = f"{where}: {Answer.NOT_TESTED} (fewer than two seeds)"
        return ClaimAnswer(claim, where, Answer.NOT_TESTED, {}, seeds, sentence)
    tables = {v: (paired[0] - x)[:, None] for v, x in zip(claim.than, paired[1:], strict=True)}
    gaps = {value: mean_interval(table) for value, table in tables.items()}
    together = (mean_interval(t, level=1 - 0.05 / len(tables)) for t in tables.values())
    answer = in_all(
        answer_to(gap if gap.mean > 0 else wide)
        for gap, wide in zip(gaps.values(), together, strict=True)
    )
    axis = list(sweep.axes)[-1]
    against = "; ".join(
        f"{gap.plus_minus(2, sign='+')} against {sweep.label(axis, value)}"
        + (visible(gap, 2) if answer is Answer.INCONCLUSIVE else "").replace(";", ",")
        for value, gap in gaps.items()
    )
    figure = FIGURES[sweep.figures[0]]
    sentence = f"{where}: {answer}. {sweep.label(axis, claim.better)}: {against} ({figure}, points)"
    if claim.note:
        sentence += f". {claim.note}"
    return ClaimAnswer(claim, where, answer, gaps, seeds, sentence)


def said(given: list[ClaimAnswer], *, source: str) -> str:
    """A Markdown list: each claim, and its answers under it."""
    lines = []
    for answer in given:
        title = escape.markdown(f"- {source}: {answer.claim.say}.")
        if title not in lines:
            lines.append(title)
        lines.append(f"    - {escape.markdown(answer.sentence)}")
    return "\n".join(lines)
