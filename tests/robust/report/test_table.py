"""robust.report.table: read back by a parser of each medium's own, hostile text included."""

import csv
import io
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from asr_core.errors import InputError
from robust.report.table import Cell, Table

HOSTILE = '=1+1|<script>alert("x")</script>$\\foo$_a_\n\x1b[31m'


class Rows(HTMLParser):
    """Texts of the cells by row, and every tag that was met."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip("\n"):
            self.rows[-1][-1] += data


def small() -> Table:
    return Table(
        ("norm", "n", "top-1"),
        [("BN", "4", "71.0"), (Cell("BN+ASR", "code"), "16", Cell("72.5", "best"))],
        words=1,
        caption="top-1 in %",
        rules=[1],
    )


def test_plain_columns_are_flush() -> None:
    assert small().plain() == ["norm     n  top-1", "BN       4   71.0", "BN+ASR  16   72.5"]
    words = Table(("a", "b"), [("long", "100")], words=2)
    assert words.plain() == ["a     b", "long  100"]


def test_markdown_marks_and_aligns() -> None:
    assert small().markdown().splitlines() == [
        "| norm | n | top-1 |",
        "| --- | ---: | ---: |",
        "| BN | 4 | 71.0 |",
        "| <code>BN+ASR</code> | 16 | **72.5** |",
        "",
        "Top-1 in %.",
    ]


def test_latex_is_booktabs_with_the_rule() -> None:
    assert small().latex().splitlines() == [
        "% top-1 in %",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"norm & n & top-1 \\",
        r"\midrule",
        r"BN & 4 & 71.0 \\",
        r"\midrule",
        r"\texttt{BN+ASR} & 16 & \textbf{72.5} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])), min_size=1))
def test_csv_and_html_give_the_texts_back(texts: list[str]) -> None:
    table = Table(["name"] * len(texts), [texts])
    (_, row) = csv.reader(io.StringIO(table.csv()))
    assert [cell.removeprefix("'") for cell in row] == [text.removeprefix("'") for text in texts]
    parser = Rows()
    parser.feed(table.html())
    assert parser.rows[1] == texts


def test_hostile_text_stays_text() -> None:
    table = Table(("name", "n"), [(HOSTILE, "1")], caption=HOSTILE)
    parser = Rows()
    parser.feed(table.html())
    assert parser.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert len(table.markdown().splitlines()) == 5  # no line breaks out of its row
    assert "\x1b" not in "".join([*table.plain(), table.markdown(), table.latex(), table.html()])
    assert list(csv.reader(io.StringIO(table.csv())))[1][0].startswith("'=")
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    console.print(table.rich())
    assert "\x1b[31m" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_terminal_shows_every_cell() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(small().rich())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("norm", "BN+ASR", "72.5", "top-1 in %"):
        assert text in shown


def test_a_short_row_is_refused() -> None:
    with pytest.raises(InputError, match="1 cells in a table of 2"):
        Table(("a", "b"), [("only",)])
