"""Each case in a forked process of its own, watched from outside, and the verdict on it.

A process that shares nothing makes each case the same however it is reached, and ends with
whatever the case left behind. Time is the processor time of the case and its children, or time in
which none of them did anything, so that a busy machine makes no finding: a process that waits for a
core does something, and one that only looks now and then whether it may go on does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fuzzing.case import ACCEPTED, EXECUTED, HANG, INTERNAL, MEMORY, Case, Verdict
from fuzzing.child import frames_of, place_of, run_case

WORK_SECONDS = 5.0
"""Of processor time that the small work of a case may take; more that a line asked for is cut."""
SECONDS = WORK_SECONDS + 10
"""Of processor time, or of doing nothing, after which it hangs."""
BYTES = 1_500_000_000
"""By how much the resident memory of a case may grow."""
_LITTLE = 0.5
"""Seconds of processor time that are no work: those of a thread that draws a progress bar."""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_WORK = ("torch/nn/modules/module.py", "torch/autograd/", "robust/bench/speed.py")
"""A case that is in one of these has read what it was given, and does what it was asked."""


def judged(cases: Iterable[Case], folder: Path, *, jobs: int) -> Iterator[tuple[Case, Verdict]]:
    """The verdict on each case, as they end; ``jobs`` run at a time."""
    waiting, running = iter(cases), []
    try:
        while True:
            while len(running) < jobs and (case := next(waiting, None)):
                running.append(_Process(case, folder / case.name.replace(":", "-")))
            if not running:
                return
            time.sleep(0.01)
            for process in list(running):
                if verdict := process.poll():
                    running.remove(process)
                    yield process.case, verdict
    finally:
        for process in running:
            process.end()


class _Process:
    """A case under way, in a folder that goes when it ends."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "work").mkdir(parents=True)
        case.lay(folder / "work")
        sys.stdout.flush()
        sys.stderr.flush()
        _give_back_what_is_free()
        self.pid = os.fork()
        if not self.pid:
            run_case(case, folder, most=_resident(os.getpid()) + 3 * BYTES)
        with contextlib.suppress(OSError):  # the child does it too, whoever comes first
            os.setpgid(self.pid, self.pid)
        self.first, self.looked = _resident(self.pid), False
        self.used, self.mark, self.since = 0.0, 0.0, time.monotonic()

    def poll(self) -> Verdict | None:
        """The verdict, once the case has ended or is ended here."""
        ended, status, usage = os.wait4(self.pid, os.WNOHANG)
        if ended:
            self.used = usage.ru_utime + usage.ru_stime
            return self._finish(self._ended(status, usage.ru_maxrss * 1024 - self.first))
        (used, active, disk), now = _activity(self.pid), time.monotonic()
        if disk or abs(active - self.mark) > _LITTLE:  # less, when a child has ended
            self.mark, self.since = active, now
        self.used = max(used, self.used)
        grown = _resident(self.pid) - self.first
        fault = (
            (MEMORY, f"over {BYTES / 1e9:g} GB more") if grown > BYTES
            else (HANG, "computes") if used > SECONDS
            else (HANG, "waits") if now - self.since > SECONDS
            else None
        )  # fmt: skip
        if fault is None and (not self.case.work or self.looked or used < WORK_SECONDS):
            return None
        self.looked = True
        stack = self._ask()
        place = place_of(frames_of(stack))
        if self.case.work and any(part in stack for part in _WORK):
            return self._finish(Verdict(ACCEPTED, "at work", place))
        return None if fault is None else self._finish(Verdict(*fault, place, stack))

    def end(self) -> None:
        """End the case and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self) -> str:
        """What the process is doing, from its own fault handler; ten looks at one that may work."""
        for _ in range(10 if self.case.work else 1):
            os.kill(self.pid, signal.SIGUSR1)
            end, before = time.monotonic() + 1, len(self._stack())
            while time.monotonic() < end and len(self._stack()) == before:
                time.sleep(0.02)
            if any(part in self._stack() for part in _WORK):
                break
        return self._stack()

    def _stack(self) -> str:
        return (self.folder / "stack").read_text(errors="replace")

    def _ended(self, status: int, grown: int) -> Verdict:
        code = os.waitstatus_to_exitcode(status)
        result = self.folder / "result.json"
        if not result.exists():
            what = signal.Signals(-code).name if code < 0 else f"exit {code}"
            return Verdict(INTERNAL, what, place_of(frames_of(self._stack())), self._stack())
        found = Verdict(**json.loads(result.read_text()))
        if grown > BYTES and not self.case.work:
            return Verdict(MEMORY, f"over {BYTES / 1e9:g} GB more", found.place, found.said)
        return found

    def _finish(self, found: Verdict) -> Verdict:
        if (self.folder / "canary").exists():
            found = Verdict(EXECUTED, "canary", found.place, found.said)
        self.end()
        return replace(found, seconds=round(self.used, 2))


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _give_back_what_is_free() -> None:
    """Return freed memory to the system: a case that takes it over would not seem to grow."""
    with contextlib.suppress(AttributeError):  # of glibc
        ctypes.CDLL(None).malloc_trim(0)


def _activity(pid: int) -> tuple[float, float, bool]:
    """Seconds of a core that ``pid`` and its descendants used, those with the wait for one, disk.

    Waits are those of a process's first thread: for a core in seconds, for the disk whether now.
    """
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        used = sum(map(int, fields[11:15])) / _TICK
        active, disk = used + waited, fields[0] == "D"
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            more, also, reads = _activity(int(child))
            used, active, disk = used + more, active + also, disk or reads
        return used, active, disk
    return 0.0, 0.0, False
