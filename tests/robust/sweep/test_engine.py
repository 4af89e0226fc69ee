"""robust.sweep.engine: a command's end in a line; interrupts reach it; what a machine lacks."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from robust.sweep.engine import ThisMachine, failure, failure_elsewhere

INTERRUPTIBLE = """
cd "$1"
trap 'sleep 0.3; echo saved >state; exit 143' TERM
touch begun
for i in {1..12000}; do sleep 0.1; done
"""


def shell(text: str, *arguments: object) -> list[str]:
    return ["bash", "-c", text, "-", *map(str, arguments)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("echo noise; echo a warning >&2", ""),
        ("echo a warning >&2; echo the error >&2; exit 2", "exit 2: the error"),
        ("exit 3", "exit 3"),
        ("kill -KILL $$", "exit -9"),
        ("for i in {1..20000}; do echo line $i >&2; done; exit 1", "exit 1: line 20000"),
        ('[ "$OMP_NUM_THREADS" = 1 ] || exit 1', ""),
    ],
)
def test_a_line_on_what_went_wrong(text: str, line: str) -> None:
    assert failure(shell(text)) == line
    assert ThisMachine().run(shell(text)) == line


def test_it_works_where_it_is_told_to(tmp_path: Path) -> None:
    assert failure(shell('echo "$PWD" >&2; exit 1'), folder=str(tmp_path)) == f"exit 1: {tmp_path}"


def test_an_interrupt_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    """As a Ray worker gets it: by another thread, without a signal."""

    def interrupt() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        failure(shell(INTERRUPTIBLE, tmp_path))
    thread.join()
    assert (tmp_path / "state").read_text() == "saved\n"


def test_all_that_is_under_way_is_interrupted_once_and_nothing_else_begins(tmp_path: Path) -> None:
    """Each is in a session of its own: what a terminal sends does not reach it a second time."""
    machine, folders = ThisMachine(), [tmp_path / name for name in ("a", "b")]
    counting = INTERRUPTIBLE.replace("echo saved >", "echo saved >>")
    with ThreadPoolExecutor(2) as pool:
        for folder in folders:
            folder.mkdir()
        jobs = [pool.submit(machine.run, shell(counting, folder)) for folder in folders]
        while not all((folder / "begun").exists() for folder in folders):
            assert not any(job.done() for job in jobs)
            time.sleep(0.01)
        machine.interrupt()
        assert [job.result() for job in jobs] == ["exit 143"] * 2
    assert [(folder / "state").read_text() for folder in folders] == ["saved\n"] * 2
    assert machine.run(shell(INTERRUPTIBLE, tmp_path)) == "interrupted"
    assert not (tmp_path / "begun").exists()
    assert failure(["bash", "-c", '[ "$(ps -o sid= $$)" -eq $$ ]']) == ""


def test_elsewhere_a_run_can_be_interrupted(tmp_path: Path) -> None:
    """Where signals are blocked, as in a Ray worker, what is started would never get it."""
    blocked = [
        sys.executable,
        "-c",
        "import signal as s; exit(bool({s.SIGINT, s.SIGTERM} & s.pthread_sigmask(0, [])))",
    ]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        assert failure(blocked) == "exit 1"
        (tmp_path / "mark").touch()
        assert failure_elsewhere(blocked, str(tmp_path), str(tmp_path / "mark")) == ""
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_what_a_machine_lacks_is_told(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    touch = ["touch", str(tmp_path / "begun")]
    assert f"does not see {tmp_path}: it must be on a disk that all machines share" in (
        failure_elsewhere(touch, str(tmp_path), str(mark))
    )
    mark.touch()
    for command, folder in ((touch, tmp_path / "none"), (["/no/python"], tmp_path)):
        line = failure_elsewhere(command, str(folder), str(mark))
        assert f"cannot run {command[0]} in {folder}: No such file or directory; both" in line
    assert not (tmp_path / "begun").exists()
    assert failure_elsewhere(touch, str(tmp_path), str(mark)) == ""
    assert (tmp_path / "begun").exists()
