"""Plain columns for the terminal and for pipes."""

from __future__ import annotations

from collections.abc import Sequence

from robust.report import escape


def aligned(rows: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """Lines of equal columns: the first ``words`` are flush left, the others (numbers) right."""
    rows = [[escape.line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
