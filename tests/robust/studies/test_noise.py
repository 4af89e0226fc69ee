"""The noise study: the runs it stands for, what is missing said, and a page from tiny networks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_training import fake_python
from tiny_classifier import register, run, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from asr_core.training import TrainConfig
from robust.studies import noise as study
from robust.suites import load_result

pytestmark = pytest.mark.usefixtures("forgetful")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study of three variants and two trainings on tiny networks."""
    register(monkeypatch)
    for module in (study, asr_core.recipes):
        monkeypatch.setattr(module, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(study, "open_data", lambda name: tiny_data())
    monkeypatch.setattr(study, "EPOCHS", 2)
    for table, names in (("VARIANTS", ("plain", "asr-ie", "asr-const")), ("NOISES", NOISES)):
        own = getattr(study, table)
        monkeypatch.setattr(study, table, {name: own[name] for name in names})


NOISES = ("clean", "batch")


def train(runs: Any, *keys: tuple[str, str, int]) -> None:
    for key in keys or runs:
        training = runs[key].training
        noise = training.noise.context(training.config.seed)
        run(training.config, runs[key].folder, noise=noise, setting=training.setting)


def page(folder: Path, seeds: int = 2) -> str:
    study.study(folder / "runs", folder / "docs", seeds=seeds, train=False)
    return (folder / "docs" / "results" / "noise.md").read_text()


def test_the_runs_of_the_study() -> None:
    runs = study.every_run(Path("runs/noise"), 5)
    assert len({run.folder for run in runs.values()}) == len(runs) == 5 * 6 * 4
    own = runs["asr-ie", "batch", 3]
    assert str(own.folder) == "runs/noise/asr-ie-batch-3"
    assert own.training.config == TrainConfig(
        recipe=load_recipe("resnet11-embedded").override(epochs=3, batch_size=8, lr=0.0125),
        mode="asr", attention="ie", seed=3, precision="bf16", channels_last=True,
    )  # fmt: skip
    assert own.training.noise.text == "batch 8"
    zero = runs["zero-gamma", "clean", 0].training
    assert (zero.config.mode, zero.config.zero_gamma, zero.noise.text) == ("plain", True, None)


@pytest.mark.usefixtures("small")
def test_the_whole_study_on_tiny_networks(tmp_path: Path) -> None:
    train(study.every_run(tmp_path / "runs", 2))
    text = page(tmp_path)
    assert "All 12 runs are in." in text
    assert "| noise | severity | statistics | plain | ASR(IE) | const |" in text
    for row in ("| no noise | re-estimated |", "| batch 8 | running |", "| batch 8 | batch (n = "):
        assert row in text
    assert "paired over 2 seeds and the test images" in text
    against = [line.split(" | ")[1] for line in text.splitlines() if "| batch, attacked" in line]
    assert against == ["plain", "const"]
    for name in ("noise-test", "noise-train"):
        assert f"(../gallery/{name}.png)" in text
        assert (tmp_path / "docs" / "gallery" / f"{name}.svg").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_figures_are_those_of_the_results_which_are_not_made_again(tmp_path: Path) -> None:
    train(study.every_run(tmp_path / "runs", 1))
    text = page(tmp_path, seeds=1)
    (row,) = [line for line in text.splitlines() if line.startswith("| batch 8 | running |")]
    results = tmp_path / "runs-results"
    for cell, variant in zip(row.split(" | ")[2:], study.VARIANTS, strict=True):
        found = load_result(results / f"{variant}-batch-0-norm-statistics.json").clean
        assert cell.startswith(f"{100 * found.top1:.1f} ±")
    assert "with one seed they are about these networks alone" in text
    files = sorted(results.glob("*.json"))
    assert len(files) == 3 + 6
    before = [file.stat().st_mtime_ns for file in files]
    assert page(tmp_path, seeds=1) == text
    assert [file.stat().st_mtime_ns for file in files] == before


@pytest.mark.parametrize(
    ("finished", "taken", "words"),
    [
        ({0, 1, 2}, {0, 1, 2}, "All 72 runs are in."),
        ({1}, {1}, "**24 of 72 runs are in; missing are all of seed 0, all of seed 2.**"),
        (set(), {0}, "**1 of 72 runs are in; missing are "),
    ],
)
def test_seeds_that_are_not_complete_are_left_out_and_said(
    finished: set[int], taken: set[int], words: str
) -> None:
    """Besides whole seeds one run of seed 0 is finished."""
    every: Any = {
        key: SimpleNamespace(done=key[2] in finished or key == ("plain", "clean", 0))
        for key in study.every_run(Path("runs"), 3)
    }
    done = study.whole_seeds(every)
    assert {seed for *_, seed in done} == taken
    assert study.missing(every, done).startswith(words)


@pytest.mark.usefixtures("small")
def test_runs_with_other_options_are_not_taken_for_the_studys(tmp_path: Path) -> None:
    runs = study.every_run(tmp_path / "runs", 1)
    train(runs)
    file = runs["plain", "batch", 0].folder / "config.json"
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({**whole, "setting": {}}))
    with pytest.raises(InputError, match=r"plain-batch-0: .*setting\.noise"):
        page(tmp_path, seeds=1)
    assert not (tmp_path / "docs").exists()


@pytest.mark.usefixtures("small")
def test_without_a_finished_run_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clean-trained run is finished"):
        page(tmp_path)


def test_a_failed_study_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_python(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"plain-clean-1: exit 2: robust: error: lr is nan"):
        study.study(tmp_path / "runs", tmp_path / "docs", seeds=2)
    assert not (tmp_path / "docs").exists()
