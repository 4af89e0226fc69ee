"""Where the runs of a study are trained: an engine runs commands and returns their errors.

Only the standard library is imported: these functions are also sent to other machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Engine(ABC):
    """Trains runs, from several threads at a time.

    Attributes:
        workers: runs at a time by default.
    """

    workers = 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[Any] = set()
        self._interrupted = False

    def run(self, command: Sequence[str]) -> str:
        """Run ``command`` to its end; returns its error in one line, or ""."""
        with self._lock:
            if self._interrupted:
                return "interrupted"
            job = self._begin(command)
            self._under_way.add(job)
        try:
            return self._end(job)
        finally:
            with self._lock:
                self._under_way.remove(job)

    def interrupt(self) -> None:
        """Ask running commands to end, resumable, and start no others."""
        with self._lock:
            self._interrupted = True
            for job in self._under_way:
                self._stop(job)

    @abstractmethod
    def _begin(self, command: Sequence[str]) -> Any: ...

    @abstractmethod
    def _end(self, job: Any) -> str: ...

    @abstractmethod
    def _stop(self, job: Any) -> None: ...


class ThisMachine(Engine):
    """Processes of this machine, each in its own session.

    A terminal's signals reach this process alone, which passes each on once: on a second signal,
    training ends without saving.
    """

    def _begin(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return _begin(command)

    def _end(self, job: subprocess.Popen[str]) -> str:
        return _problem(job, _said(job))

    def _stop(self, job: subprocess.Popen[str]) -> None:
        job.terminate()


def failure(command: Sequence[str], *, folder: str | None = None) -> str:
    """Run ``command`` in a new process; returns its error in one line, or "".

    ``folder`` is its working folder; by default, this process's. An interrupt in the main thread
    reaches the process as SIGTERM (background processes ignore SIGINT), and this waits while
    training saves its state.
    """
    process = _begin(command, folder=folder)
    try:
        said = _said(process)
    except KeyboardInterrupt:
        process.terminate()
        _said(process)
        raise
    return _problem(process, said)


def environment() -> dict[str, str]:
    """The environment for a Python process, with the working folder off its path.

    A ``torch.py`` there would replace torch. If the package is not installed but lies in the
    working folder, that stays on the path.
    """
    variables = {**os.environ, "PYTHONSAFEPATH": "1"}
    package = sys.modules.get("robust")
    sources = Path(package.__file__ or "").resolve().parents[1] if package else None
    if sources == Path.cwd():
        paths = [os.environ.get("PYTHONPATH", ""), str(sources)]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return variables


def _begin(command: Sequence[str], *, folder: str | None = None) -> subprocess.Popen[str]:
    """Start a process on one thread: runs side by side are faster than one on many cores."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**environment(), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _problem(process: subprocess.Popen[str], said: str) -> str:
    if process.returncode == 0:
        return ""
    # The last line is the error; warnings may precede it.
    return ": ".join([f"exit {process.returncode}", *said.strip().splitlines()[-1:]])


def failure_elsewhere(command: Sequence[str], folder: str, mark: str) -> str:
    """:func:`failure` on another machine, which must share a disk with the calling one.

    Args:
        command: program and arguments.
        folder: the working folder, the same on both machines.
        mark: a file that the calling machine has made beside the runs.
    """
    machine = socket.gethostname()
    if not Path(mark).exists():
        return (
            f"{machine} does not see {Path(mark).parent}: it must be on a disk that all machines "
            "share"
        )
    # Ray's workers block these signals, and their child processes would inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return failure(command, folder=folder)
    except OSError as error:
        return (
            f"{machine} cannot run {command[0]} in {folder}: {error.strerror}; both must be there "
            "as on this machine"
        )


def _said(process: subprocess.Popen[str]) -> str:
    """What the process writes to stderr until it ends."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            # With a timeout, because an interrupt from another thread does not end a wait.
            return process.communicate(timeout=0.2)[1]
