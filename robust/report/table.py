"""One table for every medium: terminal, pipe, Markdown, CSV, LaTeX and HTML, escaped for each."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from asr_core.errors import InputError
from robust.report import escape

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Mark = Literal["", "best", "second", "code"]

_MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "code": "<code>{}</code>"}
_LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "code": r"\texttt{{{}}}"}
_HTML = {"best": "<strong>{}</strong>", "second": "<u>{}</u>", "code": "<code>{}</code>"}
_TERMINAL = {"best": "bold", "second": "underline", "code": ""}


@dataclass(frozen=True)
class Cell:
    """Text with a mark: ``best`` (bold), ``second`` (underlined), ``code``, or none."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class Table:
    """Rows of text under a head.

    Attributes:
        head: titles of the columns.
        rows: each as long as ``head``; a plain string is a cell without a mark.
        words: how many columns, from the left, hold words and are flush left. The others hold
            numbers and are flush right.
        caption: what the numbers are; empty for none.
        rules: numbers of the rows that a line is drawn above, where the medium has lines.

    Raises:
        InputError: a row of another length than the head.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    caption: str = ""
    rules: frozenset[int] = frozenset()

    def __init__(
        self,
        head: Iterable[str],
        rows: Iterable[Sequence[str | Cell]],
        *,
        words: int = 1,
        caption: str = "",
        rules: Iterable[int] = (),
    ) -> None:
        put = object.__setattr__
        put(self, "head", tuple(head))
        put(self, "rows", tuple(tuple(map(_cell, row)) for row in rows))
        put(self, "words", words)
        put(self, "caption", caption)
        put(self, "rules", frozenset(rules))
        for row in self.rows:
            if len(row) != len(self.head):
                raise InputError(
                    f"a row of {len(row)} cells in a table of {len(self.head)} columns: "
                    f"{[cell.text for cell in row]}"
                )

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data, without marks and rules."""
        rows = [[cell.text for cell in row] for row in self.rows]
        return {"head": self.head, "rows": rows, "words": self.words, "caption": self.caption}

    def plain(self) -> list[str]:
        """Lines of equal columns, for pipes and narrow output; without the caption."""
        texts = [[escape.line(cell.text) for cell in row] for row in self._all()]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        return [
            "  ".join(map(self._aligned, row, widths, range(len(row)))).rstrip() for row in texts
        ]

    def rich(self) -> RichTable:
        """For rich's console, which fits it to the terminal."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(caption=escape.line(self.caption) or None)
        for index, title in enumerate(self.head):
            justify: Literal["left", "right"] = "left" if index < self.words else "right"
            table.add_column(Text(escape.line(title)), justify=justify)
        for index, row in enumerate(self.rows):
            if index in self.rules:
                table.add_section()
            table.add_row(
                *(Text(escape.line(c.text), style=_TERMINAL.get(c.mark, "")) for c in row)
            )
        return table

    def markdown(self) -> str:
        """A pipe table, and the caption below it as a sentence."""
        rule = ["---" if index < self.words else "---:" for index in range(len(self.head))]
        head, *body = [self._line(row, escape.markdown, _MARKDOWN) for row in self._all()]
        lines = [head, rule, *body]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
        if not self.caption:
            return text
        caption = escape.markdown(self.caption[0].upper() + self.caption[1:])
        return f"{text}\n{caption.rstrip('.')}.\n"

    def csv(self) -> str:
        """Comma-separated values, without marks or caption."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([escape.csv_cell(cell.text) for cell in row] for row in self._all())
        return file.getvalue()

    def latex(self) -> str:
        """A ``tabular`` of the package booktabs, the caption a comment above it."""
        columns = "l" * min(self.words, len(self.head)) + "r" * (len(self.head) - self.words)
        lines = [f"% {escape.line(self.caption)}"] if self.caption else []
        lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
        head, *body = [
            " & ".join(self._line(row, escape.latex, _LATEX)) + r" \\" for row in self._all()
        ]
        lines += [head, r"\midrule"]
        for index, row in enumerate(body):
            lines += [r"\midrule"] * (index in self.rules and index > 0)
            lines.append(row)
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def html(self) -> str:
        """A ``<table>`` without styles: ``class="number"`` on columns that are flush right."""

        def row(cells: Sequence[Cell], tag: str) -> str:
            texts = self._line(cells, lambda text: html.escape(escape.line(text)), _HTML)
            kinds = ["" if index < self.words else ' class="number"' for index in range(len(texts))]
            return "<tr>" + "".join(
                f"<{tag}{kind}>{text}</{tag}>" for kind, text in zip(kinds, texts, strict=True)
            ) + "</tr>"  # fmt: skip

        head, *body = self._all()
        caption = f"<caption>{html.escape(escape.line(self.caption))}</caption>\n"
        return "\n".join(
            [
                "<table>",
                *([caption.rstrip()] if self.caption else []),
                f"<thead>{row(head, 'th')}</thead>",
                "<tbody>",
                *(row(cells, "td") for cells in body),
                "</tbody>",
                "</table>",
                "",
            ]
        )

    def _all(self) -> list[tuple[Cell, ...]]:
        return [tuple(map(Cell, self.head)), *self.rows]

    def _aligned(self, text: str, width: int, index: int) -> str:
        return text.ljust(width) if index < self.words else text.rjust(width)

    @staticmethod
    def _line(
        row: Iterable[Cell], escaped: Callable[[str], str], marks: dict[str, str]
    ) -> list[str]:
        return [
            marks.get(cell.mark if cell.text else "", "{}").format(escaped(cell.text))
            for cell in row
        ]


def _cell(cell: str | Cell) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)
