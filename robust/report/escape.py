"""Names of strangers (files, classes, runs, models, titles) made fit for what they are shown in.

Data keep a name as it is; what people look at gets it through one of these. Whatever cannot be
printed, controls that turn the direction of text, and bytes that are no UTF-8, become ``\\n``,
``\\u202e`` or ``\\xff`` everywhere.
"""

from __future__ import annotations

import re

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "≤": r"$\leq$", "–": "--", "γ": r"$\gamma$", "δ": r"$\delta$", "ψ": r"$\psi$",
}  # fmt: skip
_FORMULA = re.compile(r"[=+\-@|＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d*\.?\d+|inf)(e[+-]?\d+)?(,[+-]?\d*\.?\d+)*%?", re.A)
_MARKDOWN = re.compile(r"[\\`*<>|~$&]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")


def line(text: str) -> str:
    """For a line of a terminal or a log: everything in it can be seen, and it stays one line."""
    return "".join(map(_visible, text))


def csv_cell(text: str) -> str:
    """For a cell of CSV: a spreadsheet takes it as text, not as a formula."""
    text = line(text)
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def markdown(text: str) -> str:
    """For Markdown, tables too: no mark-up, HTML or mathematics."""
    return _MARKDOWN.sub(r"\\\g<0>", line(text)).replace(r"\<", "&lt;").replace(r"\&", "&amp;")


def latex(text: str) -> str:
    """For LaTeX: no commands; Greek letters and signs that tables use are set."""
    return "".join(_LATEX.get(letter, letter) for letter in line(text))


def picture(text: str) -> str:
    """For matplotlib: no mathematics, and no ``_`` in front, which would hide a curve's label."""
    text = line(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
