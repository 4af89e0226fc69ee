"""The classification study: its table and verdicts by hand, and how it runs what is missing."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from tiny_classifier import forget_accelerator, register, run, tiny_data, tiny_recipe

import asr_core.data
import asr_core.training
from asr_core.errors import InputError
from asr_core.training import TrainConfig
from robust.cli import main
from robust.cli.progress import progress_bar

SCRIPTS = Path(__file__).parent.parent / "scripts"
HALF = 2.776445 * 2.5**0.5 / 5**0.5
"""Half the 95 % interval of five values in steps of one: t(4) = 2.776445, variance 2.5."""


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, which finds its neighbours as when it is run."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.delitem(sys.modules, "study_classification", raising=False)
    yield importlib.import_module("study_classification")
    forget_accelerator()


@pytest.fixture
def runs(study: ModuleType) -> ModuleType:
    return sys.modules["study_runs"]


def write(cell: Any, config: TrainConfig, *, top1: float = 0.5, seconds: float = 60.0) -> None:
    """A finished run's record."""
    cell.folder.mkdir(parents=True)
    data = {"sizes": [7200, 900, 1800]}
    whole = {"schema": 1, "config": config.as_dict(), "data": data, "setting": {}}
    (cell.folder / "config.json").write_text(json.dumps(whole))
    test = {"top1": top1, "top5": 0.95, "loss": 1.0, "images": 1800}
    (cell.folder / "result.json").write_text(json.dumps({"test": test, "train_seconds": seconds}))


def five_seeds(study: ModuleType, folder: Path) -> Any:
    """Top-1 by variant and seed; ASR is 2 points above plain in each seed, the control below."""
    done = study.cells(folder, 5)
    above = {"plain": 0, "live-se": 0, "asr-se": 2, "both-se": 0, "asr-const": -1}
    for (name, seed), cell in done.items():
        # Live attention differs from plain by -2 … 2 points: no difference on the whole.
        own = 4 - seed if name == "live-se" else seed
        write(cell, study.config(name, seed), top1=(70 + above[name] + own) / 100)
    return done


# --- the page -------------------------------------------------------------------------------------


def test_the_table_by_hand(study: ModuleType, tmp_path: Path) -> None:
    done = five_seeds(study, tmp_path)
    step = {name: [1.0, 2.0, 4.0] for name in study.VARIANTS}
    step["live-se"] = [1.5, 5.0, 6.0]  # ratios 1.5, 2.5, 1.5
    inference = {**{name: [0.5, 0.5] for name in study.VARIANTS}, study.FOLDED: [0.4, 0.2]}
    rows = study.table(done, 5, {"step": step, "inference": inference}, steps=112).splitlines()[2:]
    assert f"{HALF:.2f}" == "1.96"
    assert rows[0] == "| plain | 72.00 ± 1.96 | 95.00 ± 0.00 |  | 224 | 1.00 | 1.00 |"
    # the differences are 4, 2, 0, -2, -4: twice the spread
    assert (
        rows[1] == "| SE, live | 72.00 ± 1.96 | 95.00 ± 0.00 | +0.00 ± 3.93 | 560 | 1.50 | 1.00 |"
    )
    assert "| 74.00 ± 1.96 | 95.00 ± 0.00 | +2.00 ± 0.00 |" in rows[2]
    assert [row.split(" | ")[0] for row in rows] == [f"| {t}" for t in study.TITLES.values()]


def test_verdicts_follow_the_intervals(study: ModuleType, tmp_path: Path) -> None:
    top1 = study.figures(five_seeds(study, tmp_path), 5, "top1")

    def verdict(one: str, other: str) -> str:
        return study.verdict(top1, one, other)

    assert verdict("asr-se", "plain").endswith(
        " against plain: +2.00 ± 0.00 points: more accurate."
    )
    assert verdict("asr-const", "plain").endswith("-1.00 ± 0.00 points: less accurate.")
    assert verdict("live-se", "plain").endswith("+0.00 ± 3.93 points: no difference seen.")
    first = {name: values[:1] for name, values in top1.items()}
    assert study.verdict(first, "asr-se", "plain").endswith("+2.00 points; one seed cannot tell.")


def test_the_page_says_what_was_done(study: ModuleType, tmp_path: Path) -> None:
    done = five_seeds(study, tmp_path)
    inference = {**{name: [0.5, 0.5] for name in study.VARIANTS}, study.FOLDED: [0.4, 0.4]}
    step = {name: [1.0, 1.0] for name in study.VARIANTS}
    page = study.page(done, 5, {"step": step, "inference": inference})
    said = " ".join(page.split())
    assert "`resnet29-embedded` (4 epochs;" in said
    assert "5 seeds of each variant" in said
    assert "on the 1800 test patches" in said
    assert "An epoch is 112 training steps of 64 images" in said, "7200 // 64"
    assert "ASR(SE) takes 0.80 of plain's time" in said
    assert sum(line.startswith("- ") for line in page.splitlines()) == len(study.PAIRS)


def test_runs_with_other_options_are_not_taken_for_the_studys(
    study: ModuleType, tmp_path: Path
) -> None:
    done = five_seeds(study, tmp_path)
    study.check(done)
    cell = done["asr-se", 3]
    config = study.config("asr-se", 3).as_dict()
    whole = {"config": {**config, "recipe": {**config["recipe"], "epochs": 1}}}
    (cell.folder / "config.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=r"asr-se-3 is a run with other options"):
        study.check(done)


class CaughtError(Exception):
    """Instead of training."""


def test_the_commands_train_what_the_study_takes_them_for(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[TrainConfig] = []

    def train(config: TrainConfig, *others: Any, **options: Any) -> None:
        taken.append(config)
        raise CaughtError

    monkeypatch.setattr(asr_core.training, "train", train)
    monkeypatch.setattr(asr_core.data, "open_data", lambda *others, **options: None)
    done = study.cells(tmp_path, 5)
    assert len({cell.folder for cell in done.values()}) == len(done) == 25
    wanted = [("plain", 0), ("live-se", 1), ("asr-se", 2), ("both-se", 3), ("asr-const", 4)]
    for key in wanted:
        forget_accelerator()
        line = ["train", *done[key].arguments, "--cpu", "--quiet", "--out", str(tmp_path / "run")]
        CliRunner().invoke(main, line)
    assert taken == [study.config(*key) for key in wanted]


def test_the_whole_study_on_tiny_networks(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    monkeypatch.setattr(study, "load_recipe", lambda name: tiny_recipe(epochs=1))
    monkeypatch.setattr(study, "open_data", lambda name: tiny_data())
    for (name, seed), cell in study.cells(tmp_path / "runs", 1).items():
        run(study.config(name, seed), cell.folder)
    places = ["--runs", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    study.main([*places, "--seeds", "1", "--rounds", "2"])
    page = (tmp_path / "docs" / "RESULTS.md").read_text()
    assert "<!-- classification -->" in page
    result = json.loads((tmp_path / "runs" / "asr-se-0" / "result.json").read_text())
    assert f"| ASR(SE), fused | {100 * result['test']['top1']:.2f} | " in page
    measured = json.loads((tmp_path / "runs" / "costs.json").read_text())
    assert list(measured["step"]) == list(study.VARIANTS)
    assert list(measured["inference"]) == [*study.VARIANTS, study.FOLDED]
    assert all(len(s) == 2 for part in measured.values() for s in part.values())


# --- the runs -------------------------------------------------------------------------------------

FAKE = """#!/usr/bin/env bash
# Stands in for Python: records the command, and ends as the run of this seed should.
folder="${!#}"
echo "$OMP_NUM_THREADS $*" >>"$RECORD"
case "$*" in
    *"--seed 1 "*) echo "a warning" >&2; echo "robust: error: lr is nan" >&2; exit 2 ;;
    *"--seed 2 "*) kill -KILL $$ ;;
esac
mkdir -p "$folder"
echo '{"train_seconds": 30}' >"$folder/result.json"
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = tmp_path / "python"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return tmp_path / "record"


def some_cells(runs: ModuleType, folder: Path, count: int) -> list[Any]:
    return [runs.Cell(folder / f"run-{i}", ("--seed", str(i))) for i in range(count)]


def test_what_is_missing_is_run_and_failures_are_told(
    runs: ModuleType, tmp_path: Path, record: Path
) -> None:
    cells = some_cells(runs, tmp_path, 5)
    cells[3].folder.mkdir()
    (cells[3].folder / "result.json").write_text('{"train_seconds": 90}')
    failures = runs.run_missing(cells, workers=2, say="study")
    assert sorted(failures) == [
        f"{cells[1].folder}: exit 2: robust: error: lr is nan",
        f"{cells[2].folder}: exit -9",
    ]
    assert sorted(record.read_text().splitlines()) == [
        f"1 -m robust train --seed {i} --cpu --quiet --out {cells[i].folder}" for i in (0, 1, 2, 4)
    ]
    assert [cell.done for cell in cells] == [True, False, False, True, True]


def test_a_failed_study_writes_no_page(study: ModuleType, tmp_path: Path, record: Path) -> None:
    places = ["--runs", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    with pytest.raises(SystemExit, match=r"plain-1: exit 2: robust: error: lr is nan"):
        study.main([*places, "--seeds", "2", "--workers", "1"])
    assert not (tmp_path / "docs").exists()
    assert (tmp_path / "runs" / "asr-const-0" / "result.json").exists(), "the rest went on"


def test_after_ctrl_c_no_other_run_begins(
    runs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    leaving = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            leaving.set()
            super().shutdown(wait=wait)

    def train(cell: Any) -> str:
        begun.append(cell)
        assert leaving.wait(60)
        return ""

    def pressed(jobs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(runs, "_train", train)
    monkeypatch.setattr(runs, "as_completed", pressed)
    with pytest.raises(KeyboardInterrupt):
        runs.run_missing(some_cells(runs, tmp_path, 4), workers=1, say="study")
    assert len(begun) <= 1


@pytest.mark.parametrize(
    ("left", "workers", "note"),
    [(10, 1, "about 20 minutes left"), (10, 2, "about 10 minutes left"), (1, 4, "about 2 min")],
)
def test_the_time_left_is_announced(runs: ModuleType, left: int, workers: int, note: str) -> None:
    with progress_bar(quiet=True) as bar:
        task = bar.add_task("study", note="")
        runs._announce(bar, task, [90.0, 150.0], left, workers)
        assert bar.tasks[0].fields["note"].startswith(note)
        runs._announce(bar, task, [90.0, 150.0], 0, workers)
        assert bar.tasks[0].fields["note"] == ""
