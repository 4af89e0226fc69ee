"""Each case in a forked process of its own, watched from outside, and the verdict on it.

A process that shares nothing makes each case the same however it is reached, and ends with
whatever the case left behind. Time is the processor time of the case and its children, or time in
which none of them did anything, so that a busy machine makes no finding.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import click
from torch.optim.optimizer import register_optimizer_step_pre_hook

from asr_core.errors import InputError, ParityError
from asr_core.recipes.files import read_recipes
from fuzzing.case import Case
from fuzzing.damage import CANARY, TOUCH
from robust.cli import main
from robust.cli.errors import report

ACCEPTED, REFUSED = "accepted", "refused"
INTERNAL, HANG, EXECUTED, MEMORY, RAW = "INTERNAL ERROR", "HANG", "EXECUTED", "MEMORY", "RAW"
FAULTS = (INTERNAL, HANG, EXECUTED, MEMORY, RAW)

WORK_SECONDS = 5.0
"""Of processor time that the small work of a case may take; more that a line asked for is cut."""
SECONDS = WORK_SECONDS + 10
"""Of processor time, or of doing nothing, after which it hangs."""
BYTES = 1_500_000_000
"""How much the resident memory of a case may grow."""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PACKAGES = ("asr_core", "styletransfer", "robust")
_WORK = ("torch/nn/modules/module.py", "torch/autograd/", "robust/speed.py", "kornia/")
"""A case that is in one of these has read what it was given, and does what it was asked."""
_TOOLS = ("uname", "lscpu", "gcc", "g++", "c++", "ld", "ldconfig", "objdump")
"""Programs that torch and Python's own library ask about the machine, or compile with."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        kind: one of the above.
        what: type of the exception, or what was seen.
        place: where in our packages.
        said: the message, or what stood on the stack.
        seconds: of processor time.
    """

    kind: str
    what: str = ""
    place: str = ""
    said: str = ""
    seconds: float = 0


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
        self.pid = os.fork()
        if not self.pid:
            _child(case, folder)
        with contextlib.suppress(OSError):  # the child does it too, whoever comes first
            os.setpgid(self.pid, self.pid)
        self.first, self.looked = _resident(self.pid), False
        self.used, self.since = 0.0, time.monotonic()

    def poll(self) -> Verdict | None:
        """The verdict, once the case has ended or is ended here."""
        ended, status, usage = os.wait4(self.pid, os.WNOHANG)
        if ended:
            self.used = usage.ru_utime + usage.ru_stime
            return self._finish(self._ended(status, usage.ru_maxrss * 1024 - self.first))
        used, now = _processor_time(self.pid), time.monotonic()
        if used > self.used:
            self.used, self.since = used, now
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
        place = _place(_frames(stack))
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
        """What the process is doing, from its own fault handler."""
        os.kill(self.pid, signal.SIGUSR1)
        end = time.monotonic() + 1
        while time.monotonic() < end and not self._stack():
            time.sleep(0.02)
        return self._stack()

    def _stack(self) -> str:
        return (self.folder / "stack").read_text(errors="replace")

    def _ended(self, status: int, grown: int) -> Verdict:
        code = os.waitstatus_to_exitcode(status)
        result = self.folder / "result.json"
        if not result.exists():
            what = signal.Signals(-code).name if code < 0 else f"exit {code}"
            return Verdict(INTERNAL, what, _place(_frames(self._stack())), self._stack())
        found = Verdict(**json.loads(result.read_text()))
        if grown > BYTES and not self.case.work:
            return Verdict(MEMORY, f"over {BYTES / 1e9:g} GB more", found.place, found.said)
        return found

    def _finish(self, found: Verdict) -> Verdict:
        if (self.folder / "canary").exists():
            found = Verdict(EXECUTED, "canary", found.place, found.said)
        self.end()
        return replace(found, seconds=round(self.used, 2))


def _child(case: Case, folder: Path) -> NoReturn:
    """Run the case in this process and end it."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    try:
        stack = (folder / "stack").open("w")
        faulthandler.enable(stack)
        faulthandler.register(signal.SIGUSR1, stack)
        _confine(folder)
        _stop_at_work(case, folder)
        _tell(folder, _run(case))
    except BaseException:  # a fault of this script is to be seen, and not to go on as its copy
        traceback.print_exc(file=sys.__stderr__)
    os._exit(70)


def _tell(folder: Path, verdict: Verdict) -> NoReturn:
    """Write the verdict and end at once, whatever else the process would do."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    printed = b"".join((folder / name).read_bytes() for name in ("stdout", "stderr"))
    if (raw := _CONTROL.search(printed.decode(errors="surrogateescape"))) and (
        verdict.kind not in FAULTS
    ):
        at = printed.decode(errors="replace")[max(0, raw.start() - 60) : raw.end() + 40]
        verdict = Verdict(RAW, f"U+{ord(raw[0]):04X}", verdict.place, at)
    (folder / "result.json").write_text(json.dumps(asdict(verdict)))
    os._exit(0)


def _confine(folder: Path) -> None:
    """Streams to files, a program that stands for PostScript's interpreter, limits."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ[CANARY] = str(folder / "canary")
    (folder / "bin").mkdir()
    for name in ("gs", "gswin64c", "convert", "inkscape"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{TOUCH}\n")
        (folder / "bin" / name).chmod(0o755)
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    os.environ["HOME"] = str(folder)
    os.chdir(folder / "work")
    most = _resident(os.getpid()) + 3 * BYTES
    for limit, value in (("DATA", most), ("CORE", 0), ("FSIZE", 2**30)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))


def _stop_at_work(case: Case, folder: Path) -> None:
    """End where training begins; see that no program is run and nothing is sent."""
    own = os.getpid()

    def began(*_: Any) -> None:
        _tell(folder, Verdict(ACCEPTED, "training began"))

    register_optimizer_step_pre_hook(began)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        what = _foreign(event, arguments)
        if what is None or os.getpid() != own:
            return
        if case.work and what in ("python", "network"):
            _tell(folder, Verdict(ACCEPTED, f"{what} began"))
        if what not in _TOOLS:
            frames = [(f.filename, f.name) for f in reversed(traceback.extract_stack())]
            _tell(folder, Verdict(EXECUTED, what, _place(frames), str(arguments)[:500]))

    sys.addaudithook(watch)


def _foreign(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The program that is started, "network" for an address beyond this machine, or None."""
    if event == "socket.connect":
        return "network" if isinstance(arguments[1], tuple) else None
    if event == "socket.getaddrinfo":
        return "network"
    if event == "os.system":
        return os.path.basename(os.fsdecode(arguments[0]).split()[0])
    if event not in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        return None
    program = os.fsdecode(arguments[0] or arguments[1][0])
    return "python" if program == sys.executable else os.path.basename(program)


def _run(case: Case) -> Verdict:
    try:
        if case.line[0] == "recipes.toml":
            read_recipes(case.line[0])
            return Verdict(ACCEPTED)
        return _ended(
            main(list(case.line), prog_name="robust", standalone_mode=False, color=True)
        )
    except SystemExit as stop:
        return _ended(stop.code)
    except BaseException as error:
        # With color, since to what is no terminal click writes without escapes.
        with click.Context(main, color=True):
            code = report(error)
        frames = [(f.filename, f.name) for f in traceback.extract_tb(error.__traceback__)][::-1]
        where = type(error).__name__, _place(frames), f"{error}"[:500]
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            return Verdict(REFUSED if case.work else MEMORY, *where)
        declared = (click.ClickException, click.Abort, InputError, OSError)
        parity = isinstance(error, ParityError)
        clean = isinstance(error, declared) and code == (1 if parity else 2)
        return Verdict(REFUSED if clean else INTERNAL, *where)


def _ended(code: object) -> Verdict:
    """An exit without an exception: 1 says that some runs failed, or that models differ."""
    kind = {0: ACCEPTED, 1: REFUSED, 2: REFUSED}.get(code or 0, INTERNAL)  # type: ignore[call-overload]
    return Verdict(kind, f"exit {code or 0}")


def _frames(stack: str) -> list[tuple[str, str]]:
    """(file, function) of a fault handler's text, the innermost first."""
    return re.findall(r'File "(.+?)", line \d+ in (\S+)', stack)


def _place(frames: Iterable[tuple[str, str]]) -> str:
    """The innermost place in our packages, as module.py:function."""
    for file, function in frames:
        for package in _PACKAGES:
            _, found, rest = file.rpartition(f"/{package}/")
            if found and "site-packages" not in file:
                return f"{package}/{rest}:{function}"
    return ""


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _processor_time(pid: int) -> float:
    """Seconds that ``pid`` and its descendants used."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used = sum(map(int, fields[11:15])) / _TICK
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return used + sum(_processor_time(int(child)) for child in children)
    return 0.0
