"""docs/RESULTS.md as sections, each written by the script that measured it.

A section stands between the comments ``<!-- NAME -->`` and ``<!-- /NAME -->``, so that a script
replaces its own and leaves the others' as they are.
"""

from __future__ import annotations

from pathlib import Path

from asr_core.errors import InputError
from asr_core.saving.files import write_text

SECTIONS = (
    "endpoints", "paper", "style-training", "style", "gatys", "classification", "costs", "noise",
    "borders",
    "corruptions", "stripes", "sweeps",
)  # fmt: skip
"""Names of the sections, in the order of the page."""

TITLE = "# Results\n\nEach section names the script that made it, and is made again by it.\n"


def put_section(page: Path, name: str, text: str) -> None:
    """Replace the section ``name`` of ``page`` by ``text``; make the page where there is none.

    Raises:
        InputError: an unknown section, or a page whose sections do not end.
    """
    if name not in SECTIONS:
        raise InputError(f"unknown section {name!r}; known: {', '.join(SECTIONS)}")
    found = read_sections(page) if page.exists() else {}
    found[name] = text.strip()
    parts = [f"<!-- {key} -->\n{found[key]}\n<!-- /{key} -->\n" for key in SECTIONS if key in found]
    write_text(page, "\n".join([TITLE, *parts]))


def read_sections(page: Path) -> dict[str, str]:
    """The sections of ``page`` by name, without the comments around them.

    Raises:
        InputError: a section that does not end.
    """
    text = page.read_text(encoding="utf-8")
    found = {}
    for name in SECTIONS:
        _, begun, rest = text.partition(f"<!-- {name} -->\n")
        if begun:
            body, ended, _ = rest.partition(f"\n<!-- /{name} -->")
            if not ended:
                raise InputError(f"{page}: the section {name!r} does not end; remove it")
            found[name] = body
    return found
