"""The pages of results, which several scripts write without harm to each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.studies.sections import (
    FIRST,
    PAGES,
    put_section,
    read_sections,
    replace_section,
)

DOCS = Path(__file__).parents[3] / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_a_study_has_a_page_and_the_results_list_it(tmp_path: Path) -> None:
    put_section(tmp_path, "noise", "## Noise\n\nnone\n\n### More\n")
    put_section(tmp_path, "style", "## Style")
    assert (tmp_path / "results" / "noise.md").read_text() == "# Noise\n\nnone\n\n## More\n"
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.endswith("\n- [Style](results/style.md)\n- [Noise](results/noise.md)\n")


def test_links_of_a_page_are_from_its_folder(tmp_path: Path) -> None:
    text = "## A\n\n![x](gallery/x.png) [y](https://example.org/y) [z](#z) [r](RESULTS.md)"
    put_section(tmp_path, "noise", text)
    page = (tmp_path / "results" / "noise.md").read_text()
    links = ["../gallery/x.png", "https://example.org/y", "#z", "../RESULTS.md"]
    assert LINK.findall(page) == links


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    for name in FIRST + PAGES:
        put_section(tmp_path, name, f"## {name}\n\nold")
    put_section(tmp_path, "paper", "new")
    put_section(tmp_path, "stripes", "new")
    assert read_sections(page) == {"endpoints": "## endpoints\n\nold", "paper": "new"}
    pages = {name: (tmp_path / "results" / f"{name}.md").read_text() for name in PAGES}
    assert pages.pop("stripes") == "new\n"
    assert pages == {name: f"# {name}\n\nold\n" for name in PAGES if name != "stripes"}


def test_unknown_sections_and_cut_pages_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    with pytest.raises(InputError, match=r"unknown section 'colour'; known: endpoints, paper, "):
        put_section(tmp_path, "colour", "")
    page.write_text("<!-- paper -->\ncut off")
    with pytest.raises(InputError, match="'paper' does not end"):
        put_section(tmp_path, "style", "text")
    assert page.read_text() == "<!-- paper -->\ncut off"


@pytest.mark.parametrize("page", [DOCS / "RESULTS.md", *sorted((DOCS / "results").glob("*.md"))])
def test_the_links_of_shipped_pages_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if not link.startswith(("http", "#"))]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_shipped_results_are_as_they_were_written(tmp_path: Path) -> None:
    """The list and all between the sections are those that the scripts write."""
    for page in (DOCS / "results").glob("*.md"):
        if page.stem in PAGES:
            put_section(tmp_path, page.stem, f"#{page.read_text()}")
    for name, text in read_sections(DOCS / "RESULTS.md").items():
        put_section(tmp_path, name, text)
    assert (tmp_path / "RESULTS.md").read_text() == (DOCS / "RESULTS.md").read_text()


def test_a_section_of_another_page_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Title\n<!-- paper -->\nold\n<!-- /paper -->\nold, and kept\n")
    replace_section(page, "paper", "| new |\n")
    kept = "# Title\n<!-- paper -->\n| new |\n<!-- /paper -->\nold, and kept\n"
    assert page.read_text() == kept
    with pytest.raises(InputError, match="'noise'"):
        replace_section(page, "noise", "text")
    assert page.read_text() == kept
