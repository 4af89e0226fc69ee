"""Escapes names (of files, classes, runs, models) for each medium that shows them.

Data keep names as they are; everything that is shown goes through one of these functions. In all
of them unprintable characters, text-direction controls and bytes that are not UTF-8 become
``\\n``, ``\\u202e`` or ``\\xff``.
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
    """For a terminal or a log: all of it is visible, on one line."""
    return "".join(map(_visible, text))


def csv_cell(text: str) -> str:
    """For a cell of CSV: spreadsheets read it as text, not as a formula."""
    text = line(text)
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def markdown(text: str) -> str:
    """For Markdown, tables too: no mark-up, HTML or mathematics."""
    return _MARKDOWN.sub(r"\\\g<0>", line(text)).replace(r"\<", "&lt;").replace(r"\&", "&amp;")


def latex(text: str) -> str:
    """For LaTeX: no commands; Greek letters and signs of our tables become mathematics."""
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
