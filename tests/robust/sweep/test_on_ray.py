"""robust.sweep.on_ray: a sweep on two workers of a real Ray cluster, begun once for all tests."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
from click.testing import CliRunner
from fake_training import finish, some_runs
from finished import result
from hypothesis import given
from hypothesis import strategies as st
from sweeps import tiny_metrics, tiny_sweep, trained_here
from tiny_train import python_with_tiny

import robust.sweep.runs
from asr_core.errors import InputError
from robust.cli import main
from robust.sweep import Results, run_missing, run_sweep
from robust.sweep.engine import ThisMachine
from robust.sweep.on_ray import gpu_share, on_ray

HANGS = 1200
"""Seconds: what takes longer hangs, on any machine."""
TOGETHER = """#!/usr/bin/env bash
# Goes on once another one has begun, and leaves the number of the process that started it.
touch "{folder}/worker-$PPID"
for i in {{1..12000}}; do
    [ "$(ls "{folder}" | grep -c ^worker-)" -ge 2 ] && exec {python} "$@"
    sleep 0.1
done
echo "alone" >&2
exit 3
"""
INTERRUPTIBLE = """#!/usr/bin/env bash
folder="${!#}"
mkdir -p "$folder"
trap 'sleep 0.3; echo saved >"$folder/state"; exit 143' TERM
touch "$folder/begun"
for i in {1..12000}; do sleep 0.1; done
"""
ENDS = """#!/usr/bin/env bash
folder="${!#}"
mkdir -p "$folder"
echo "$OMP_NUM_THREADS $*" >>"$folder/commands"
case "$(grep '"seed"' "$folder/config.json")" in
    *" 1,") echo "a warning" >&2; echo "robust: error: lr is nan" >&2; exit 2 ;;
    *" 2,") kill -KILL $PPID; sleep 60 ;;
esac
echo 'RESULT' >"$folder/result.json"
""".replace("RESULT", result())


class LeftError(Exception):
    """Ends a context."""


@contextlib.contextmanager
def terminal(file: Path) -> Iterator[None]:
    """What this process and those that it starts write to the terminal goes to the file's end."""
    kept = [os.dup(number) for number in (1, 2)]
    with file.open("ab") as written:
        for number in (1, 2):
            os.dup2(written.fileno(), number)
    try:
        yield
    finally:
        for number, each in enumerate(kept, start=1):
            os.dup2(each, number)
            os.close(each)


pytestmark = pytest.mark.slow  # a cluster takes seconds to begin and to end


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two CPUs, and what Ray takes for a GPU; made and ended by the engine, in silence."""
    folder = tmp_path_factory.mktemp("cluster")
    said = folder / "said"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED"):
            patch.delenv(name, raising=False)
        patch.setattr(ray, "init", functools.partial(ray.init, num_cpus=2, num_gpus=1))
        engine = on_ray(folder / "sweep")
        with terminal(said):
            engine.__enter__()
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        assert len(list((folder / "sweep").iterdir())) == 1, "the mark"
        yield
        assert ray.is_initialized()
        with terminal(said):
            assert not engine.__exit__(LeftError, LeftError(), None)
    assert not ray.is_initialized()
    assert list((folder / "sweep").iterdir()) == []
    assert said.read_text() == ""


def python(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a script in the place of Python."""
    script = folder / "stand-in"
    script.write_text(text)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def shell(text: str) -> list[str]:
    return ["bash", "-c", text]


@pytest.mark.slow
def test_two_workers_side_by_side_equal_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    metrics = trained_here(monkeypatch, one)
    python_with_tiny(tmp_path, monkeypatch)
    python(tmp_path, monkeypatch, TOGETHER.format(folder=tmp_path, python=sys.executable))
    capfd.readouterr()
    lines: list[str] = []
    outcome = run_sweep(
        tiny_sweep(), two, engine="ray", device="cpu", quiet=True, tell=lines.append
    )
    assert outcome.failures == []
    assert "with 2 at a time" in lines[0], "as many as the cluster has CPUs"
    workers = {int(path.name.removeprefix("worker-")) for path in tmp_path.glob("worker-*")}
    assert len(workers) == 2
    assert os.getpid() not in workers
    assert tiny_metrics(two) == metrics
    there = Results(tiny_sweep(), tiny_sweep().runs(one))
    assert outcome.results.figure("top1").tolist() == there.figure("top1").tolist()
    assert not list(two.glob(".*")), "no mark is left"
    assert ray.is_initialized(), "what the caller began goes on"
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_is_missing_is_run_and_failures_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One ends with an error, and one takes its worker along, on which Ray has a note."""
    noted = threading.Event()
    write = ray._private.worker.print_worker_logs

    def written(*arguments: Any) -> None:
        write(*arguments)
        noted.set()

    monkeypatch.setattr(ray._private.worker, "print_worker_logs", written)
    monkeypatch.chdir(tmp_path)  # the folders are relative
    python(tmp_path, monkeypatch, ENDS)
    runs = some_runs(Path(), 6)
    finish(runs[4], seconds=90)
    with on_ray(tmp_path, device="cpu") as engine:
        failures = sorted(run_missing(runs, workers=2, say="study", quiet=True, engine=engine))
    assert failures[0] == "run-1: exit 2: robust: error: lr is nan"
    assert failures[1].startswith("run-2: Ray: ")
    assert len(failures) == 2
    assert [run.done for run in runs] == [True, False, False, True, True, True]
    for i in (0, 1, 2, 3, 5):
        line = (
            f"1 -m robust train --config run-{i}/config.json --device cpu --quiet --out run-{i}\n"
        )
        assert (runs[i].folder / "commands").read_text() == line, "once"
    assert not (runs[4].folder / "commands").exists()
    assert noted.wait(HANGS)
    assert capfd.readouterr() == ("", "")


def test_after_ctrl_c_runs_end_resumable_and_none_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    python(tmp_path, monkeypatch, INTERRUPTIBLE)
    runs = some_runs(Path(), 4)

    def pressed(jobs: Any) -> Any:
        end = time.monotonic() + HANGS
        while len(list(tmp_path.glob("*/begun"))) < 2:
            assert time.monotonic() < end
            assert not any(job.done() for job in jobs)
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(robust.sweep.runs, "as_completed", pressed)
    with on_ray(tmp_path, device="cpu") as engine:
        with pytest.raises(KeyboardInterrupt):
            run_missing(runs, workers=2, say="study", quiet=True, engine=engine)
        assert engine.run(shell("touch begun")) == "interrupted"
    assert sorted(path.parent.name for path in tmp_path.glob("*/begun")) == ["run-0", "run-1"]
    for run in runs[:2]:
        assert (run.folder / "state").read_text() == "saved\n"
    assert not (tmp_path / "begun").exists()


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with on_ray(tmp_path / "sweep", device="cpu") as engine:
        assert engine.run(shell("exit 0")) == ""
        (mark,) = (tmp_path / "sweep").iterdir()
        mark.unlink()
        line = engine.run(shell(f"touch {tmp_path}/begun"))
    assert line == (
        f"{socket.gethostname()} does not see {tmp_path}/sweep: it must be on a disk that all "
        "machines share"
    )
    assert not (tmp_path / "begun").exists()


def test_workers_do_not_import_torch(tmp_path: Path) -> None:
    asks = shell("! grep -q libtorch /proc/$PPID/maps")
    assert ThisMachine().run(asks) == "exit 1", "this process does"
    with on_ray(tmp_path, device="cpu") as engine:
        assert engine.run(asks) == ""


@pytest.mark.slow
def test_runs_share_the_gpus_that_there_are(tmp_path: Path) -> None:
    together = TOGETHER.format(folder=tmp_path, python=":")
    ask = shell(f'({together}); echo "GPU $CUDA_VISIBLE_DEVICES" >&2; exit 1')
    with on_ray(tmp_path, workers=2) as engine, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(engine.run, [ask, ask])) == ["exit 1: GPU 0"] * 2
    with on_ray(tmp_path) as engine:
        assert engine.workers == 1, "as many as GPUs"
        assert engine.run(ask) == "exit 1: GPU 0"
    with on_ray(tmp_path, device="cpu") as engine:
        assert engine.workers == 2
        assert "GPU 0" not in engine.run(ask)


@given(st.integers(1, 64), st.integers(1, 500))
def test_shares_of_gpus_find_place_and_are_as_large_as_can_be(gpus: int, workers: int) -> None:
    share = round(gpu_share(gpus, workers) * 10_000)  # Ray's unit
    assert 10_000 // share * gpus >= workers
    assert share == 10_000 or 10_000 // (share + 1) * gpus < workers
    assert gpu_share(0, workers) == 0


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["sweep", "init", "--engine", "ray"], prog_name="robust")
    assert done.exit_code == 2
    assert done.stderr == ("robust: error: engine 'ray' needs Ray: pip install 'robust-asr[ray]'\n")
    assert not (tmp_path / "runs").exists()


def test_an_address_where_there_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    ended: list[bool] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    words = f"no Ray cluster at '{nobody}': .*refused; `ray start` makes one"
    with pytest.raises(InputError, match=words), on_ray(tmp_path, address=nobody):
        pass
    with pytest.raises(InputError, match="no Ray cluster at 'nonsense': Invalid address format"):
        on_ray(tmp_path, address="nonsense").__enter__()
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(InputError, match=r"no Ray cluster here: .*refused"):
        on_ray(tmp_path).__enter__()
    assert len(ended) == 3
    assert list(tmp_path.iterdir()) == []
