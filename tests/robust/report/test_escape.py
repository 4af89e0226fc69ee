"""robust.report.escape: strangers' names, shown in each medium as what they are."""

import csv
import io
import math
import os
import re
import subprocess
from html.parser import HTMLParser

import matplotlib
import pytest
from controls import CONTROLS
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from robust.report import escape

NAMES = [
    "plain name.png", os.fsdecode(b"caf\xe9"), "two\nlines", "\x1b[31mred\x1b]0;title\x07",
    "a\tb\rc", "$\\foo$", "=1+1", "+1+cmd", "-1+1", "@SUM(A1)", "|x", "\uff1d1", "a|b", "a_b",
    "_a_ *b* `c`", "[x](javascript:y)", "![x](y)", "<b>x</b>", "&lt;", "\u202etxt.exe",
    "\u2066x\u2069", "a\u200bb", "\\input{/etc/passwd}", "100% #1 & {x}^2~", "x" * 245, "", " ",
    "\x00", "\x9b31m", "\u2028", "日本",
]  # fmt: skip
ANY = st.text(st.characters()) | st.sampled_from(NAMES)


@given(ANY)
def test_a_line_stays_one_and_shows_everything(name: str) -> None:
    shown = escape.line(name)
    assert not CONTROLS.search(shown)
    assert len(shown.splitlines()) == (1 if shown else 0)
    shown.encode()
    assert escape.line(shown) == shown
    if name.isprintable():
        assert shown == name


def test_what_cannot_be_printed_is_named() -> None:
    assert escape.line("a\nb\x1b\u202e\U000e0001") == r"a\nb\x1b\u202e\U000e0001"
    assert escape.line(os.fsdecode(b"caf\xe9\xff")) == r"caf\xe9\xff"
    assert escape.line("é ± 日本") == "é ± 日本"


@given(ANY)
def test_no_cell_of_a_csv_is_a_formula(name: str) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([escape.csv_cell(name), "end"])
    (row,) = csv.reader(io.StringIO(text.getvalue()))
    assert row[1] == "end"
    shown = row[0]
    assert shown in (escape.line(name), "'" + escape.line(name))
    if shown.startswith(tuple("=+-@|\uff1d")):
        assert all(math.isfinite(float(part)) for part in shown.rstrip("%").split(","))


@pytest.mark.parametrize("number", ["-0.5", "+1", "-1e-07", "-0.5,0.5", "-3%"])
def test_numbers_stay_numbers(number: str) -> None:
    assert escape.csv_cell(number) == number
    for formula in (number + "+A1", number + "-1", "-" + number):
        assert escape.csv_cell(formula).startswith("'")


class _Html(HTMLParser):
    """Text of a page, and whatever is not text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def rendered(cell: str) -> str:
    """A cell of Markdown as text: what a renderer makes of it when nothing in it is mark-up."""
    html = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)
    return html.replace("&lt;", "<").replace("&amp;", "&")


@given(ANY)
def test_a_name_makes_no_markup_in_markdown(name: str) -> None:
    cell = escape.markdown(name)
    row = f"| {cell} | 1 |"
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", cell)
    assert not re.search(r"[|`*<>~$]|\]\(|\]\[|(?<![^\W_])_", bare)
    assert len(re.split(r"(?<!\\)(?:\\\\)*\|", row)) == 4, "two cells"
    parser = _Html()
    parser.feed(cell)
    assert parser.tags == []
    assert rendered(cell) == escape.line(name)


def test_tables_of_our_own_look_as_before() -> None:
    for text in ("ASR(SE), Top-1", "resnet11_embedded", "mean [0.1, 0.2]", "12.3 ± 0.4", "zero γ"):
        assert escape.markdown(text) == text


@example("±≤–γδψ")
@given(ANY)
def test_a_name_is_no_command_in_latex(name: str) -> None:
    text = escape.latex(name)
    known = r"\\text(backslash|asciicircum|asciitilde|less|greater|bar|quotedbl)\{\}"
    rest = re.sub(known + r"|\\[{}$&#%_]|\$\\(pm|leq|gamma|delta|psi)\$", "", text)
    assert not re.search(r'[\\{}$&#%_^~<>|"]', rest)


def test_latex_sets_the_names(tmp_path: os.PathLike[str]) -> None:
    """With TeX itself, where it is installed."""
    body = " \\\\\n".join(map(escape.latex, NAMES))
    assert "\\input" not in body
    assert r"\textbackslash{}input\{/etc/passwd\}" in body
    try:
        subprocess.run(["pdflatex", "-version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\begin{document}"
    page = head + body.replace("日本", "") + r"\end{document}"
    subprocess.run(
        ["pdflatex", "-halt-on-error"],
        input=page.encode(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_shows_the_name(name: str) -> None:
    """Matplotlib itself says what is mathematics, and what a legend leaves out."""
    figure = Figure(figsize=(2, 2))
    canvas = FigureCanvasAgg(figure)
    axis = figure.subplots()
    shown = escape.picture(name)
    axis.plot([0, 1], label=shown)
    text = axis.set_title(shown)
    legend = axis.legend() if shown else None
    canvas.draw()
    drawn, is_maths = text._preprocess_math(text.get_text())
    assert drawn.strip() == escape.line(name).strip()
    assert not is_maths
    assert legend is None or len(legend.get_texts()) == 1


def test_without_escaping_matplotlib_fails() -> None:
    """The case is not vacuous."""
    figure = Figure()
    figure.suptitle(r"$\foo$")
    with pytest.raises(ValueError, match="foo"):
        FigureCanvasAgg(figure).draw()
    assert matplotlib.rcParams["text.parse_math"]
