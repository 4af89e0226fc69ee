"""Where the runs of a study are trained: an engine runs a command and says what went wrong.

Only the standard library is imported: these functions are also sent to other machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Engine(Protocol):
    """Trains runs, from several threads at a time.

    Attributes:
        workers: runs at a time, unless the user says another number.
    """

    workers: int

    def run(self, command: Sequence[str]) -> str:
        """Run ``command`` to its end; what went wrong, in a line, or nothing."""

    def interrupt(self) -> None:
        """Let what is under way end, resumable; nothing else begins."""


class ThisMachine:
    """Processes of this machine. Ctrl-C reaches them by itself, from the terminal."""

    workers = 1

    def run(self, command: Sequence[str]) -> str:
        """Run ``command`` to its end; what went wrong, in a line, or nothing."""
        return failure(command)

    def interrupt(self) -> None:
        """Nothing is left to do."""


def failure(command: Sequence[str], *, folder: str | None = None) -> str:
    """Run ``command`` in a process of its own; what went wrong, in a line, or nothing.

    One thread: runs side by side are faster than one run on many cores. An interrupt in the main
    thread is passed on to the process and waited for: training saves its state then.

    Args:
        command: program and arguments.
        folder: where it works; by default, here.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = _said(process)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        _said(process)
        raise
    if process.returncode == 0:
        return ""
    # The last line is the error's; warnings may stand before it.
    return ": ".join([f"exit {process.returncode}", *said.strip().splitlines()[-1:]])


def failure_elsewhere(command: Sequence[str], folder: str, mark: str) -> str:
    """:func:`failure` on another machine, which must share a disk with the one that asks.

    Args:
        command: program and arguments.
        folder: where it works, as on the machine that asks.
        mark: a file that the machine that asks has made beside the runs.
    """
    machine = socket.gethostname()
    if not Path(mark).exists():
        return (
            f"{machine} does not see {Path(mark).parent}: it has to be on a disk that all machines "
            "share"
        )
    # Ray's workers block it, and so would what they start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        return failure(command, folder=folder)
    except OSError as error:
        return (
            f"{machine} cannot run {command[0]} in {folder}: {error.strerror}; both have to be "
            "there as here"
        )


def _said(process: subprocess.Popen[str]) -> str:
    """What the process writes to stderr until it ends."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            # In turns: an interrupt that another thread asks for does not end a wait.
            return process.communicate(timeout=0.2)[1]
