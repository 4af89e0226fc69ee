"""asr_core.saving.exclusive: one process at a time, by a lock that dies with its owner."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from asr_core.errors import InputError
from asr_core.saving import exclusive as module
from asr_core.saving.exclusive import LOCK, contents, exclusive
from asr_core.saving.files import atomic_path, drafts

FORK = multiprocessing.get_context("fork")


def _holds(folder: Path, told: Connection, fork: bool) -> None:
    with exclusive(folder):
        (folder / "result").touch()
        child = os.fork() if fork else 0
        if fork and child == 0:
            signal.pause()  # a worker that outlives its parent
        told.send(child)
        signal.pause()


@contextlib.contextmanager
def another(folder: Path, *, fork: bool = False) -> Iterator[tuple[Any, int]]:
    """Another process that holds ``folder``, and the one that it forked."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=_holds, args=(folder, there, fork))
    process.start()
    child = here.recv()
    try:
        yield process, child
    finally:
        process.kill()
        process.join()
        if child:
            os.kill(child, signal.SIGKILL)


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    with another(folder) as (process, _):
        said = rf"{folder} is in use by process {process.pid} on .*choose another folder"
        with pytest.raises(InputError, match=said), exclusive(folder):
            pass
        assert contents(folder) == [folder / "result"]


@pytest.mark.parametrize("fork", [False, True])
def test_the_lock_dies_with_its_owner(tmp_path: Path, fork: bool) -> None:
    """And not with what the owner forked."""
    with another(tmp_path, fork=fork) as (process, child):
        process.kill()
        process.join()
        assert (tmp_path / LOCK).exists(), "what a killed process leaves"
        if fork:
            os.kill(child, 0)  # it is still there
        with exclusive(tmp_path):
            pass
        assert os.listdir(tmp_path) == ["result"]


def test_one_at_a_time_however_they_come(tmp_path: Path) -> None:
    """The file is removed at each end: nobody may then hold the file that was."""
    counter, folder = tmp_path / "counter", tmp_path / "run"
    counter.write_text("0")

    def work() -> None:
        for _ in range(40):
            while True:
                try:
                    with exclusive(folder):
                        counter.write_text(str(int(counter.read_text()) + 1))
                    break
                except InputError:
                    pass

    processes = [FORK.Process(target=work) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert counter.read_text() == "120"


def test_the_same_thread_may_enter_again_and_another_may_not(tmp_path: Path) -> None:
    refused: list[str] = []

    def enter() -> None:
        try:
            with exclusive(tmp_path):
                pass
        except InputError as error:
            refused.append(str(error))

    with exclusive(tmp_path):
        with exclusive(tmp_path / "." / "x" / ".."):
            pass
        assert (tmp_path / LOCK).exists()
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"process {os.getpid()}" in refused[0]


def test_drafts_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    def die() -> None:
        with atomic_path(tmp_path / "model.safetensors") as draft:
            draft.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=die)
    process.start()
    process.join()
    own = [tmp_path / name for name in (".config.settings.json", ".hidden", "model.json")]
    for path in own:
        path.touch()
    (tmp_path / ".a.draft-folder").mkdir()
    assert len(drafts(tmp_path)) == 1
    assert set(contents(tmp_path)) == {*own, tmp_path / ".a.draft-folder"}
    with exclusive(tmp_path):
        assert drafts(tmp_path) == []
    assert set(tmp_path.iterdir()) == {*own, tmp_path / ".a.draft-folder"}


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_folder_that_was_made_goes_unless_something_is_in_it(
    tmp_path: Path, error: type[Exception] | None
) -> None:
    def fill(folder: Path, what: Callable[[Path], object]) -> None:
        with contextlib.suppress(KeyError), exclusive(folder):
            what(folder)
            if error:
                raise error

    fill(tmp_path / "a" / "b", lambda folder: None)
    assert os.listdir(tmp_path) == []
    fill(tmp_path / "a" / "b", lambda folder: (folder / "result").touch())
    assert os.listdir(tmp_path / "a" / "b") == ["result"]
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", lambda folder: None)
    assert (tmp_path / "empty").exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_disk_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "_lock", refuse)
    with (
        pytest.warns(UserWarning, match=f"{tmp_path} is on a disk without locks"),
        exclusive(tmp_path),
    ):
        (tmp_path / "result").touch()
    assert (tmp_path / "result").exists()


def test_a_folder_that_cannot_be_made_is_the_systems_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), exclusive(tmp_path / "file" / "run"):
        pass
