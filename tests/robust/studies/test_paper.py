"""The table of the paper's claims, of which each study writes its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.studies import paper
from robust.studies.sections import read_sections

DOCS = Path(__file__).parents[3] / "docs"


def test_studies_replace_their_own_lines_in_the_order_of_the_table(tmp_path: Path) -> None:
    def line(found: str) -> object:
        return paper.Line("Table 5", "0.1 is best", "robust sweep init", "inconclusive", found)

    paper.put_lines(tmp_path, "style", [line("of noise")])
    paper.put_lines(tmp_path, "sweeps", [line("old"), line("older")])
    paper.put_lines(tmp_path, "sweeps", [line("new")])
    page = (tmp_path / "RESULTS.md").read_text()
    assert (
        "| Table 5 | 0.1 is best | <code>robust sweep init</code> | **inconclusive** | new |"
        in page
    )
    assert "| old" not in page
    assert page.index("| Tables 2–4 |") < page.index("| new |") < page.index("| of noise |")
    assert list(json.loads((tmp_path / "paper.json").read_text())) == [
        "settings",
        "sweeps",
        "style",
    ]


def test_unknown_studies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown study 'style2'; known: costs, settings, sweeps"):
        paper.put_lines(tmp_path, "style2", [])
    assert not list(tmp_path.iterdir())


def test_the_shipped_table_is_that_of_its_data(tmp_path: Path) -> None:
    """Nothing in it was written by hand: the data make the section that ships."""
    shipped = (DOCS / "paper.json").read_text()
    (tmp_path / "paper.json").write_text(shipped)
    study = next(name for name in json.loads(shipped) if name != "settings")
    paper.put_lines(tmp_path, study, [paper.Line(**e) for e in json.loads(shipped)[study]])
    assert (tmp_path / "paper.json").read_text() == shipped
    own, ours = (read_sections(folder / "RESULTS.md")["paper"] for folder in (tmp_path, DOCS))
    assert own == ours
