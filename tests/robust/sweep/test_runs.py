"""robust.sweep.runs: what is missing is run, by several workers, whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_training import fake_python, finish, some_runs

from asr_core.errors import CheckpointError
from robust.sweep import Run, run_missing
from robust.sweep import runs as module
from robust.sweep.runs import minutes_left
from robust.training.classifier import ClassifierRun

HANGS = 1200
"""Seconds: who waits longer waits for ever."""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fake_python(tmp_path, monkeypatch)


def test_what_is_missing_is_run_and_failures_are_told(tmp_path: Path, record: Path) -> None:
    runs = some_runs(tmp_path, 5)
    finish(runs[3], seconds=90)
    failures = run_missing(runs, workers=2, say="study")
    assert sorted(failures) == [
        f"{runs[1].folder}: exit 2: robust: error: lr is nan",
        f"{runs[2].folder}: exit -9",
    ]
    assert sorted(record.read_text().splitlines()) == [
        f"1 -m robust train --config {runs[i].folder}/config.json --device cpu --quiet "
        f"--out {runs[i].folder}"
        for i in (0, 1, 2, 4)
    ]
    assert [run.done for run in runs] == [True, False, False, True, True]


@pytest.mark.parametrize("left", ["result.json", "last.pt"])
def test_a_run_of_other_options_is_refused_and_one_of_the_same_goes_on(
    tmp_path: Path, record: Path, left: str
) -> None:
    """Whether it is finished or interrupted."""
    run = Run(tmp_path / "run", ClassifierRun.from_fields({"seed": 3}))
    finish(run, seconds=1)
    (run.folder / "result.json").rename(run.folder / left)
    for other, named in (
        ({"seed": 4}, r"config\.seed \(3, now 4\)"),
        ({"seed": 3, "noise": "random"}, r"setting\.noise"),
    ):
        wanted = replace(run, training=ClassifierRun.from_fields(other))
        with pytest.raises(CheckpointError, match=named):
            run_missing([wanted], workers=1, say="study")
    assert not record.exists()
    assert run_missing([run], workers=1, say="study") == []
    assert record.exists() == (left == "last.pt")


def test_after_ctrl_c_no_other_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    leaving, told = threading.Event(), threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            leaving.set()
            super().shutdown(wait=wait)

    class Waiting:
        workers = 1

        def run(self, command: Sequence[str]) -> str:
            begun.append(command)
            assert leaving.wait(HANGS)
            assert told.wait(HANGS)
            return "interrupted"

        def interrupt(self) -> None:
            assert leaving.is_set(), "else another run would begin"
            told.set()

    def pressed(jobs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module, "as_completed", pressed)
    with pytest.raises(KeyboardInterrupt):
        run_missing(some_runs(tmp_path, 4), workers=1, say="study", engine=Waiting())
    assert len(begun) <= 1
    assert told.is_set()


class Elsewhere:
    """Another machine, where every run ends well."""

    workers = 1

    def run(self, command: Sequence[str]) -> str:
        return ""

    def interrupt(self) -> None:
        raise AssertionError("nobody pressed Ctrl-C")


def test_a_disk_that_machines_share_may_be_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = some_runs(tmp_path, 1)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            finish(run, seconds=30)

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert run_missing([run], workers=1, say="study", engine=Elsewhere()) == []
    assert len(waited) == 3


def test_a_run_without_a_result_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    failures = run_missing(some_runs(tmp_path, 2), workers=1, say="study", engine=Elsewhere())
    assert sorted(failures) == [
        f"{tmp_path}/run-{i}: it ended well, but there is no result.json here" for i in (0, 1)
    ]


@pytest.mark.parametrize(
    ("left", "workers", "minutes"), [(10, 1, 20), (10, 2, 10), (1, 4, 2), (0, 4, 0)]
)
def test_the_time_left(left: int, workers: int, minutes: int) -> None:
    assert minutes_left([90.0, 150.0], left, workers) == minutes
