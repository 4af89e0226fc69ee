"""The page of results, which several scripts write without harm to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.studies.sections import SECTIONS, TITLE, put_section, read_sections

RESULTS = Path(__file__).parents[3] / "docs" / "RESULTS.md"


def test_sections_stand_in_the_pages_order(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    put_section(page, "noise", "## Noise\n\nnone\n")
    put_section(page, "style", "## Style")
    assert page.read_text().endswith(
        "<!-- style -->\n## Style\n<!-- /style -->\n\n<!-- noise -->\n## Noise\n\nnone\n"
        "<!-- /noise -->\n"
    )


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    for name in SECTIONS:
        put_section(page, name, f"## {name}\n\nold")
    put_section(page, "classification", "new")
    sections = read_sections(page)
    assert sections.pop("classification") == "new"
    assert sections == {name: f"## {name}\n\nold" for name in SECTIONS if name != "classification"}


def test_unknown_sections_and_cut_pages_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    with pytest.raises(
        InputError, match=r"unknown section 'colour'; known: endpoints, paper, style-training, "
    ):
        put_section(page, "colour", "")
    page.write_text("<!-- noise -->\ncut off")
    with pytest.raises(InputError, match="'noise' does not end"):
        put_section(page, "style", "text")
    assert page.read_text() == "<!-- noise -->\ncut off"


def test_the_shipped_page_is_made_of_sections() -> None:
    text = RESULTS.read_text()
    rest = text.replace(TITLE, "")
    for name, body in read_sections(RESULTS).items():
        rest = rest.replace(f"<!-- {name} -->\n{body}\n<!-- /{name} -->", "")
    assert not rest.strip()
