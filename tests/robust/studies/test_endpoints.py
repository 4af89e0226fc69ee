"""The section of the declared endpoints, its data and its picture, from tiny networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_training import fake_python
from protocols import protocol
from tiny_classifier import forget_accelerator, register, run, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.errors import InputError
from robust.protocol import study as protocol_study
from robust.protocol.scores import read_findings
from robust.protocol.study import Study
from robust.studies import endpoints
from robust.studies.sections import read_sections


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    register(monkeypatch)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(protocol_study, "open_data", lambda name, **options: tiny_data())
    small = protocol(data="tiny", training={"recipe": "tiny"}), "a" * 64
    monkeypatch.setattr(endpoints, "read_protocol", lambda: small)
    yield
    forget_accelerator()


def test_the_section_its_data_and_its_picture(tmp_path: Path) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    for each in Study.begin(*endpoints.read_protocol(), runs, seeds=2).runs().values():
        run(each.training.config, each.folder)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- endpoints -->\nold\n<!-- /endpoints -->\n")
    endpoints.study(runs, docs, train=False, device="cpu")
    section = read_sections(docs / "RESULTS.md")["endpoints"]
    assert section.startswith(endpoints.TITLE)
    assert f"`{'a' * 12}…`" in section
    assert "<code>robust study paper --seeds 2</code>" in section
    assert (docs / endpoints.PLOT).is_file()
    assert len(read_findings(docs / endpoints.DATA).scores) > 2 * 4
    assert (docs / endpoints.DATA / "declared.json").is_file()
    short = read_sections(readme)["endpoints"]
    assert short.splitlines()[0] == f"| {' | '.join(endpoints.SHORT)} |"
    numbers = re.findall(r"[+-]\d+\.\d\d \[.*?\] points", short)
    assert numbers
    assert not [number for number in numbers if number not in section]


def test_a_failed_run_writes_no_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_python(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"plain-1: exit 2: robust: error: lr is nan"):
        endpoints.study(tmp_path / "runs", tmp_path / "docs", seeds=2, device="cpu")
    assert not (tmp_path / "docs").exists()
