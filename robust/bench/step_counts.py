"""The cost of a step, counted instead of timed: operators, bytes and instructions.

Counts do not depend on other load. Instructions are those that callgrind executes, which stands in
for a processor without AVX-512; the operating system's are not included.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from robust.bench.speed import Step

COUNTED = "counted "
PIPES = "STEP_COUNTS_PIPES"
"""The environment variable that says where valgrind listens for commands."""


class Operators(TorchDispatchMode):
    """Counts the operators that reach a kernel or a view, by name; autograd's own included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.seen[str(function)] += 1
        return function(*args, **(kwargs or {}))


def operators(step: Step) -> Counter[str]:
    """How often ``step`` calls each operator."""
    with Operators() as counted:
        step()
    return counted.seen


def allocated(step: Step) -> int:
    """Bytes that ``step`` takes from torch's CPU allocator, freed again or not."""
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    sizes = [event["args"]["Bytes"] for event in events if event.get("name") == "[memory]"]
    return sum(size for size in sizes if size > 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what the profiler's C++ writes to stderr."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def plane(counts: Mapping[tuple[int, int], int]) -> Callable[[float, float], float]:
    """(blocks, batch) -> instructions: a + b·blocks + c·batch + d·blocks·batch, least squares.

    A step, each block, each image, and each block for each image have a cost. ``counts`` are by
    (blocks, batch), at two or more of either.
    """
    blocks, batch = np.array(list(counts), dtype=float).T
    columns = np.stack([np.ones_like(blocks), blocks, batch, blocks * batch], axis=1)
    a, b, c, d = np.linalg.lstsq(columns, np.array(list(counts.values()), dtype=float))[0].tolist()
    return lambda blocks, batch: a + b * blocks + c * batch + d * blocks * batch


def count_here(steps: Mapping[str, Step]) -> None:
    """In a process that callgrind runs: count one call of each step, after a warm-up of all.

    Prints a line before each warm-up, and one that starts with ``COUNTED`` after each count.
    """
    for name, step in steps.items():
        print(f"warm-up: {name}", flush=True)
        step()
    gc.collect()
    gc.disable()
    # Valgrind translates all code anew when this changes, so it changes once.
    pipes = f"--vgdb-prefix={os.environ[PIPES]}"
    control = ("vgdb", pipes, f"--pid={os.getpid()}", "instrumentation", "on")
    subprocess.run(control, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name, step in steps.items():
        torch._C._valgrind_toggle()
        step()
        torch._C._valgrind_toggle_and_dump_stats()
        print(COUNTED + name, flush=True)


def instructions(
    code: str, arguments: Sequence[str], *, say: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[str, int]]:
    """Names and instruction counts, as they come, of the steps that ``code`` counts.

    Args:
        code: Python that calls :func:`count_here`.
        arguments: its ``sys.argv[1:]``.
        say: called with the other lines that it prints.

    Raises:
        FileNotFoundError: no valgrind.
        RuntimeError: the process failed; with its last lines.
    """
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    python = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    last: deque[str] = deque(maxlen=20)
    with tempfile.TemporaryDirectory() as folder:
        out, pipes = Path(folder, "callgrind"), str(Path(folder, "vgdb"))
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
        command += [f"--callgrind-out-file={out}", f"--vgdb-prefix={pipes}"]
        command += [sys.executable, "-c", code, *arguments]
        with subprocess.Popen(
            command,
            env={**os.environ, **threads, **python, PIPES: pipes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                dumps = 0
                for text in process.stdout or ():
                    if text.startswith(COUNTED):
                        dumps += 1
                        total = read_total(Path(f"{out}.{dumps}").read_text(encoding="utf-8"))
                        yield text.removeprefix(COUNTED).strip(), total
                    elif not text.startswith("=="):  # valgrind's own
                        say(text.strip())
                    last.append(text)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(f"valgrind exited with {process.returncode}:\n{''.join(last)}")


def read_total(dump: str) -> int:
    """The number of instructions in a file of callgrind's."""
    totals = [text for text in dump.splitlines() if text.startswith("totals:")]
    if not totals:
        raise ValueError("not a whole file of callgrind's: it has no totals")
    return int(totals[-1].split()[1])
