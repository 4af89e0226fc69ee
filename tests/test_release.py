"""What a release says of itself: version, changes, how to cite, and what CI runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def version() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_version_has_an_entry_in_the_changelog(version: str) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    _, *entries = re.split(r"^## ", text, flags=re.MULTILINE)
    (entry,) = [each for each in entries if each.startswith(f"[{version}] - ")]
    assert re.match(r"\S+ - (\d{4}-\d\d-\d\d|Unreleased)\n", entry)
    kinds = re.findall(r"^### (.*)$", entry, flags=re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(r"^- ", entry, flags=re.MULTILINE)


def test_the_citation_is_of_this_version_and_of_the_paper(
    citation: dict[str, Any], version: str
) -> None:
    # what the Citation File Format 1.2.0 requires
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == version
    assert citation["license"] == "MIT"
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    named = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f'"{paper["title"]}", ECCV {paper["year"]}' in named
    assert [author["family-names"] for author in paper["authors"]] == [
        "Huang", "Zhong", "Wen", "Qin", "Lin",
    ]  # fmt: skip


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"][2:]]
    assert commands == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
