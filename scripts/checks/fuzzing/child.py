"""What a case's own process does: it runs the case, sees what is foreign, and tells the verdict."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
from torch.optim.optimizer import register_optimizer_step_pre_hook

from asr_core.errors import InputError, ParityError
from asr_core.recipes.files import read_recipes
from fuzzing.case import ACCEPTED, EXECUTED, FAULTS, INTERNAL, MEMORY, RAW, REFUSED, Case, Verdict
from fuzzing.damage import CANARY, TOUCH
from robust.cli import main
from robust.cli.errors import report

_PACKAGES = ("asr_core", "styletransfer", "robust")
_TOOLS = ("uname", "lscpu", "gcc", "g++", "c++", "ld", "ldconfig", "objdump")
"""Programs that torch and Python's own library ask about the machine, or compile with."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def run_case(case: Case, folder: Path, *, most: int) -> NoReturn:
    """Run the case in this process, with no more than ``most`` bytes of its own, and end it."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    try:
        stack = (folder / "stack").open("w")
        faulthandler.enable(stack)
        faulthandler.register(signal.SIGUSR1, stack)
        _confine(folder, most)
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


def _confine(folder: Path, most: int) -> None:
    """Streams to files, a program that stands for PostScript's interpreter, limits."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ[CANARY] = str(folder / "canary")
    (folder / "bin").mkdir()
    for name in ("gs", "gswin64c", "convert", "inkscape"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{TOUCH}\n")
        (folder / "bin" / name).chmod(0o755)
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    os.environ["HOME"] = str(folder)
    os.chdir(folder / "work")
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
        if what is None or what in _TOOLS:
            return
        if os.getpid() != own:  # a worker of the case, which has no verdict to tell
            if not case.work:
                (folder / "canary").touch()
        elif case.work and what in ("python", "network"):
            _tell(folder, Verdict(ACCEPTED, f"{what} began"))
        else:
            frames = [(f.filename, f.name) for f in reversed(traceback.extract_stack())]
            _tell(folder, Verdict(EXECUTED, what, place_of(frames), str(arguments)[:500]))

    sys.addaudithook(watch)


def _foreign(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The program that is started ("python": an installed one), "network", or None."""
    if event == "socket.connect":
        return "network" if isinstance(arguments[1], tuple) else None
    if event == "socket.getaddrinfo":
        return "network"
    if event == "os.system":
        return os.path.basename(os.fsdecode(arguments[0]).split()[0])
    if event not in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        return None
    program = os.fsdecode(arguments[0] or arguments[1][0])
    own = program.startswith((sys.prefix, os.path.dirname(sys.executable)))
    return "python" if own else os.path.basename(program)


def _run(case: Case) -> Verdict:
    try:
        if case.line[0] == "recipes.toml":
            read_recipes(case.line[0])
            return Verdict(ACCEPTED)
        return _ended(main(list(case.line), prog_name="robust", standalone_mode=False, color=True))
    except SystemExit as stop:
        return _ended(stop.code)
    except BaseException as error:
        # With color, since to what is no terminal click writes without escapes.
        with click.Context(main, color=True):
            code = report(error)
        frames = [(f.filename, f.name) for f in traceback.extract_tb(error.__traceback__)][::-1]
        where = type(error).__name__, place_of(frames), f"{error}"[:500]
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


def frames_of(stack: str) -> list[tuple[str, str]]:
    """(file, function) of a fault handler's text, the innermost first."""
    return re.findall(r'File "(.+?)", line \d+ in (\S+)', stack)


def place_of(frames: Iterable[tuple[str, str]]) -> str:
    """The innermost place in our packages, as module.py:function."""
    for file, function in frames:
        for package in _PACKAGES:
            _, found, rest = file.rpartition(f"/{package}/")
            if found and "site-packages" not in file:
                return f"{package}/{rest}:{function}"
    return ""
