"""Measures the cost of a training step and of inference, and keeps the measurements."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import asr_core
from asr_core.saving.files import write_json
from robust.bench.speed import Step, in_turns
from robust.bench.step_counts import allocated, instructions, operators
from robust.bench.training_cost import (
    GATES,
    INFERENCE,
    TRAINING,
    Point,
    batch_of,
    counted_steps,
    gates_alone,
    inference,
    training_step,
    variants,
)

COUNTS = ("operators", "bytes", "instructions")
STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", file=sys.stderr, flush=True)


def code_digest() -> str:
    """A hash of the code that decides what a step does."""
    files = [*Path(asr_core.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


class Measurements:
    """Measurements, in a file that is replaced after each of them.

    Args:
        path: the file; its content is kept if its ``of`` is the same.
        of: what is measured.

    Attributes:
        counts: {operators, bytes or instructions: [first count of each unit, second]}.
        seconds: {what: [{variant: seconds}, one for each round]}.
        loads: the machine's load over a minute, at the end of each round.
    """

    def __init__(self, path: Path, of: Mapping[str, Any]) -> None:
        self.path, self.of = path, dict(of)
        self.counts: dict[str, list[dict[str, int]]] = {name: [{}, {}] for name in COUNTS}
        self.seconds: dict[str, list[dict[str, float]]] = {}
        self.loads: list[float] = []
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["of"] == self.of:
                self.counts, self.seconds = kept["counts"], kept["seconds"]
                self.loads = kept["loads"]
                say(f"continues from {path}")
            else:
                say(f"starts again: {path} is of other code or options")

    def save(self) -> None:
        """Write the file."""
        names = ("of", "counts", "seconds", "loads")
        write_json(self.path, {name: getattr(self, name) for name in names})


def count(measurements: Measurements, at: Point) -> None:
    """Operators and bytes of each step, twice."""
    steps = counted_steps([at])
    for turn in range(2):
        called, taken = (measurements.counts[name][turn] for name in ("operators", "bytes"))
        for done, (name, step) in enumerate(steps.items(), start=1):
            if name not in taken:
                step()
                called[name] = sum(operators(step).values())
                taken[name] = allocated(step)
                measurements.save()
                say(f"operators and bytes, {turn + 1} of 2: {done} of {len(steps)} ({name})")


def count_instructions(measurements: Measurements, points: Sequence[Point]) -> None:
    """Instructions of each step at ``points``, in two processes, the second in reverse order."""
    code = (
        "import sys; from robust.bench.training_cost import count_under_valgrind; "
        "count_under_valgrind(*sys.argv[1:])"
    )
    names = list(counted_steps(points))
    for turn, order in enumerate((names, names[::-1])):
        counts = measurements.counts["instructions"][turn]
        missing = [name for name in order if name not in counts]
        if missing:
            nets = ",".join(f"{depth}x{batch}" for depth, batch in points)
            say(f"instructions, {turn + 1} of 2: {len(missing)} steps; valgrind takes minutes")
            for name, number in instructions(code, [nets, *missing], say=say):
                counts[name] = number
                measurements.save()
                done = len(missing) - sum(name not in counts for name in missing)
                say(f"instructions, {turn + 1} of 2: {done} of {len(missing)} ({name})")


def take_turns(
    measurements: Measurements, what: str, steps: Mapping[str, Step], rounds: int
) -> None:
    """Run those of ``rounds`` that are missing."""
    done = measurements.seconds.setdefault(what, [])

    def keep(seconds: dict[str, float]) -> None:
        done.append(seconds)
        measurements.loads.append(os.getloadavg()[0])
        measurements.save()
        say(f"{what}: round {len(done)} of {rounds}, {sum(seconds.values()):.1f} s")

    if len(done) < rounds:
        say(f"{what}: round {len(done)} of {rounds}, warming up")
        in_turns(steps, rounds - len(done), on_round=keep)


def measure_time(measurements: Measurements, depth: int, batch: int, rounds: int) -> None:
    """Seconds of each step, and of the gates alone."""
    torch.manual_seed(0)
    images, labels = batch_of(batch)
    trained, only_infer = variants(depth)
    infer = {name: inference(m, images) for name, m in {**trained, **only_infer}.items()}
    last = images.to(memory_format=torch.channels_last)
    for name, model in (("plain", trained["plain"]), ("ASR, folded", only_infer["ASR, folded"])):
        copied = copy.deepcopy(model).to(memory_format=torch.channels_last)
        infer[f"{name}, channels last"] = inference(copied, last)
    train = {name: training_step(m, images, labels) for name, m in trained.items()}
    take_turns(measurements, TRAINING, train, rounds)
    take_turns(measurements, INFERENCE, infer, 3 * rounds)
    take_turns(measurements, GATES, {GATES: gates_alone(trained["ASR"])}, 3 * rounds)
