"""Differences between variants of a suite, as a table: estimates and intervals, no verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from robust.report.table import Table
from robust.suites.contrasts import Contrast


def difference_table(contrasts: Sequence[Contrast]) -> str:
    """Rows: situation and rival; a column a variant: points of top-1 more than the rival has."""
    labels = list(dict.fromkeys(v.a for v in contrasts))
    rows: list[tuple[str, ...]] = []
    for row in dict.fromkeys((v.trained_under, v.situation, v.b) for v in contrasts):
        cells = {v.a: v for v in contrasts if (v.trained_under, v.situation, v.b) == row}
        under, situation, rival = row
        where = situation + (f", trained under {under}" if under else "")
        shown = (difference(cells[label]) if label in cells else "" for label in labels)
        rows.append((where, rival, *shown))
    return Table(("situation", "against", *labels), rows, words=2).markdown()


def difference(contrast: Contrast) -> str:
    """The difference with its interval, in points."""
    interval = contrast.comparison.difference
    mean = f"{100 * interval.mean:+.1f}"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def explored(contrasts: Sequence[Contrast]) -> str:
    """All contrasts as a table, and how many of them chance alone would tell from 0."""
    seen = sum(v.comparison.difference.leaves_zero_out for v in contrasts)
    seeds = max(v.comparison.seeds for v in contrasts)
    whom = (
        f"paired over {seeds} seeds and the test images"
        if seeds > 1
        else "paired over the test images; with one seed they are about these networks alone, and "
        "what another seed would give is not in them"
    )
    return (
        f"Differences in points of top-1 with 95 % intervals, {whom}. No claim was declared before "
        f"the runs, so none is decided here: {seen} of {len(contrasts)} intervals leave 0 out, "
        f"chance alone would give about {0.05 * len(contrasts):.0f}.\n\n"
        f"{difference_table(contrasts)}"
    )
