"""docs/RESULTS.md, one screen, and a page in docs/results for each study, written by its script.

RESULTS.md holds the sections that answer the paper, each between the comments ``<!-- NAME -->`` and
``<!-- /NAME -->``, so that a script replaces its own and leaves the other's as it is, and then a
list of the studies' pages.
"""

from __future__ import annotations

import re
from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import write_text

FIRST = ("endpoints", "paper")
"""Names of the sections of RESULTS.md, in order."""

PAGES = (
    "style", "style-training", "gatys", "classification", "costs", "noise", "borders",
    "corruptions", "stripes", "sweeps", "real-network",
)  # fmt: skip
"""Names of the studies that have a page, in the order of the list."""

RESULTS, FOLDER = "RESULTS.md", "results"
TITLE = "# Results\n\nEach part names the script that made it, and is made again by it.\n"
STUDIES = """## The studies

Exploratory: estimates and intervals, no verdicts that were declared. [Borders](results/borders.md)
says which pages a fault of the older data concerns.
"""


def put_section(docs: Path, name: str, text: str) -> None:
    """Replace what the study ``name`` says in ``docs`` by ``text``.

    Headings of ``text`` begin at the second level, and its links are relative to ``docs``.

    Raises:
        InputError: an unknown name, or sections of RESULTS.md that do not end.
    """
    if name not in FIRST + PAGES:
        raise InputError(f"unknown section {name!r}; known: {', '.join(FIRST + PAGES)}")
    page = docs / RESULTS
    found = read_sections(page) if page.exists() else {}
    if name in FIRST:
        found[name] = text.strip()
    else:
        write_text(docs / FOLDER / f"{name}.md", _as_page(text))
    parts = [f"<!-- {key} -->\n{found[key]}\n<!-- /{key} -->\n" for key in FIRST if key in found]
    write_text(page, "\n".join([TITLE, *parts, *_listed(docs)]))


def replace_section(page: Path, name: str, text: str) -> None:
    """Replace the section ``name`` of ``page``, which keeps all else.

    Raises:
        InputError: the page has no such section, or it does not end.
    """
    found = read_sections(page)
    if name not in found:
        raise InputError(f"{page}: no section {name!r}")
    begin = f"<!-- {name} -->\n"
    whole = page.read_text(encoding="utf-8")
    write_text(page, whole.replace(begin + found[name], begin + text.strip(), 1))


def read_sections(page: Path) -> dict[str, str]:
    """The sections of ``page`` by name, without the comments around them.

    Raises:
        InputError: a section that does not end.
    """
    text = page.read_text(encoding="utf-8")
    found = {}
    for name in FIRST:
        _, begun, rest = text.partition(f"<!-- {name} -->\n")
        if begun:
            body, ended, _ = rest.partition(f"\n<!-- /{name} -->")
            if not ended:
                raise InputError(f"{page}: the section {name!r} does not end; remove it")
            found[name] = body
    return found


def _as_page(text: str) -> str:
    """``text`` one heading level up, for a reader one folder further down."""
    text = re.sub(r"^#(#+ )", r"\1", text.strip(), flags=re.MULTILINE)
    return re.sub(r"\]\((?![a-z]+:|[#/])", "](../", text) + "\n"


def _listed(docs: Path) -> list[str]:
    files = [docs / FOLDER / f"{name}.md" for name in PAGES]
    titles = {
        file.name: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for file in files
        if file.exists()
    }
    lines = [f"- [{title}]({FOLDER}/{name})" for name, title in titles.items()]
    return ["\n".join([STUDIES, *lines, ""])] if lines else []
