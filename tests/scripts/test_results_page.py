"""The page of results, which several scripts write without harm to each other."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from asr_core.errors import InputError

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def page_module() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "results_page.py"))


def test_sections_stand_in_the_pages_order(page_module: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page_module["put_section"](page, "noise", "## Noise\n\nnone\n")
    page_module["put_section"](page, "style", "## Style")
    assert page.read_text().endswith(
        "<!-- style -->\n## Style\n<!-- /style -->\n\n<!-- noise -->\n## Noise\n\nnone\n"
        "<!-- /noise -->\n"
    )


def test_a_section_is_replaced_and_the_others_stay(
    page_module: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "RESULTS.md"
    for name in page_module["SECTIONS"]:
        page_module["put_section"](page, name, f"## {name}\n\nold")
    page_module["put_section"](page, "classification", "new")
    sections = page_module["read_sections"](page)
    assert sections.pop("classification") == "new"
    assert sections == {
        name: f"## {name}\n\nold" for name in page_module["SECTIONS"] if name != "classification"
    }


def test_unknown_sections_and_cut_pages_are_refused(
    page_module: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "RESULTS.md"
    with pytest.raises(InputError, match=r"unknown section 'colour'; known: paper, style, "):
        page_module["put_section"](page, "colour", "")
    page.write_text("<!-- noise -->\ncut off")
    with pytest.raises(InputError, match="'noise' does not end"):
        page_module["put_section"](page, "style", "text")
    assert page.read_text() == "<!-- noise -->\ncut off"


def test_the_shipped_page_is_made_of_sections(page_module: dict[str, Any]) -> None:
    text = (SCRIPTS.parent / "docs" / "RESULTS.md").read_text()
    rest = text.replace(page_module["TITLE"], "")
    for name, body in page_module["read_sections"](SCRIPTS.parent / "docs" / "RESULTS.md").items():
        rest = rest.replace(f"<!-- {name} -->\n{body}\n<!-- /{name} -->", "")
    assert not rest.strip()
