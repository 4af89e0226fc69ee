"""Differences between variants of a suite: as a table, and in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from robust.report.table import Cell, Table
from robust.suites.contrasts import Contrast
from robust.suites.tables import sentences


def difference_table(contrasts: Sequence[Contrast]) -> str:
    """Rows: situation and rival; a column a variant: points of top-1 more than the rival has."""
    labels = list(dict.fromkeys(v.a for v in contrasts))
    rows: list[tuple[str | Cell, ...]] = []
    for row in dict.fromkeys((v.trained_under, v.situation, v.b) for v in contrasts):
        cells = {v.a: v for v in contrasts if (v.trained_under, v.situation, v.b) == row}
        under, situation, rival = row
        where = situation + (f", trained under {under}" if under else "")
        rows.append((where, rival, *(_cell(cells.get(label)) for label in labels)))
    return Table(("situation", "against", *labels), rows, words=2).markdown()


def _cell(contrast: Contrast | None) -> Cell:
    """Bold where the interval leaves 0 out."""
    if contrast is None:
        return Cell("")
    bold = contrast.comparison.answer.leaves_zero_out
    return Cell(difference(contrast), "best" if bold else "")


def difference(contrast: Contrast) -> str:
    """The difference with its interval, in points."""
    interval = contrast.comparison.difference
    mean = f"{100 * interval.mean:+.1f}"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def in_words(contrasts: Sequence[Contrast], *, spoken: Collection[str] | None = None) -> str:
    """All contrasts as a table, those on ASR in words.

    Args:
        contrasts: the contrasts, of one suite or several.
        spoken: situations to put into words; None for all.
    """
    seen = [v for v in contrasts if v.comparison.answer.leaves_zero_out]
    seeds = max(v.comparison.seeds for v in contrasts)
    whom = (
        f"paired over {seeds} seeds and the test images"
        if seeds > 1
        else "paired over the test images; with one seed they are about these networks alone, and "
        "what another seed would give is not in them"
    )
    blocks = [
        f"Differences in points of top-1 with 95 % intervals, {whom}. {len(seen)} of "
        f"{len(contrasts)} leave 0 out (bold); chance alone would give about "
        f"{0.05 * len(contrasts):.0f}.\n",
        difference_table(contrasts),
        "What ASR adds to the plain network, and what its attention adds to a gate that learns "
        "nothing:\n",
    ]
    told = [
        v for v in contrasts if v.a.startswith("ASR") and (spoken is None or v.situation in spoken)
    ]
    differ = [v for v in told if v in seen]
    for line in sentences(differ):
        blocks.append(line if line.startswith("- ") else f"\n*{line.rstrip(':')}*\n")
    rest = len(told) - len(differ)
    if rest:
        others = f"the other {rest} of {len(told)}" if differ else f"all {rest}"
        blocks.append(f"\nInconclusive: {others} comparisons.")
    return "\n".join(blocks) + "\n"
