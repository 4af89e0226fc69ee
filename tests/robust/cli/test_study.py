"""`robust study paper` and `robust power` on networks that train in a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from protocols import protocol
from tiny_classifier import forget_accelerator, register, run, tiny_data, tiny_recipe

import asr_core.recipes
from robust.cli import main
from robust.protocol import declared, study
from robust.protocol.study import Study


def robust(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), prog_name="robust")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    register(monkeypatch)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(study, "open_data", lambda name, **options: tiny_data())
    small = protocol(data="tiny", training={"recipe": "tiny"})
    monkeypatch.setattr(declared, "read_protocol", lambda path: (small, "0" * 64))
    yield
    forget_accelerator()


def trained(folder: Path, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process, in the place of a process a run."""

    def train(self: Study, **options: Any) -> list[str]:
        for each in self.runs().values():
            if not each.done:
                run(each.training.config, each.folder)
        return []

    monkeypatch.setattr(Study, "train", train)
    done = robust("study", "paper", "--seeds", seeds, "--out", folder, "--device", "cpu", "--json")
    assert done.exit_code == 0, done.output
    assert [e["endpoint"] for e in json.loads(done.stdout)["endpoints"]] == [
        "accuracy", "attention", "noise", "stripes", "style",
    ]  # fmt: skip


def test_a_study_and_the_plan_that_its_runs_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "study", 2, monkeypatch)
    again = robust("study", "paper", "--no-train", "--out", tmp_path / "study", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert "accuracy" in again.stdout
    assert max(map(len, again.stdout.splitlines()[:6])) <= 80
    other = robust("study", "paper", "--seeds", 3, "--out", tmp_path / "study", "--device", "cpu")
    assert other.exit_code == 2
    assert "seeds is 3, declared was 2" in other.stderr

    planned = robust("power", tmp_path / "study" / "runs", "--seeds", 40, "--json")
    assert planned.exit_code == 0, planned.output
    found = json.loads(planned.stdout)
    assert ["plain", "ASR(SE)"] in [sorted(p["variants"], key=len) for p in found]
    assert all(plan["planned"] == 40 for plan in found)
    assert any(plan["visible"] > 0 for plan in found)


def test_a_plan_from_a_table(tmp_path: Path) -> None:
    file = tmp_path / "pilot.csv"
    file.write_text("variant,seed,score,seconds\na,0,1,36\na,1,2,36\nb,0,1.5,36\nb,1,3,36\n")
    told = robust("power", file, "--effect", "2")
    assert told.exit_code == 0, told.output
    assert [line.split()[:4] for line in told.stdout.splitlines()[1:3]] == [
        ["a", "and", "b", "paired"], ["a", "and", "b", "unpaired"],
    ]  # fmt: skip
    assert max(map(len, told.stdout.splitlines()[:3])) <= 80


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variant,seed\na,0\n", "pilot.csv: not a table of variant, seed, score"),
        ("variant,seed,score\na,0,high\n", "high"),
        ("variant,seed,score\na,0,1\n", "a plan needs two variants"),
    ],
)
def test_no_plan_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "pilot.csv"
    file.write_text(text)
    told = robust("power", file)
    assert (told.exit_code, told.stdout) == (2, "")
    assert words in told.stderr


def test_no_runs_are_named(tmp_path: Path) -> None:
    told = robust("power", tmp_path)
    assert told.exit_code == 2
    assert "no finished run" in told.stderr
