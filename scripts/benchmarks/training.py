"""What ASR costs in a training step and in inference, counted and timed beside the plain net.

Counted: operators, bytes from torch's allocator and, where valgrind is installed, instructions.
These repeat. Instructions are counted at small batches of small nets, and what a step, a block, an
image, and a block for each image cost is fitted to them, for the net and batch that are timed.

Timed: all variants in one process, in turns, in an order drawn anew each round. The clock is the
process's CPU time on one thread. "plain, again" is the plain net a second time: how far it is from
1 is the noise of the measurement. The two variables let glibc keep freed memory; otherwise a third
of the time goes to the kernel, which hands out the same pages again and again.

    export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1
    python scripts/benchmarks/training.py [--rounds 9] [--batch 128] [--out docs/BENCHMARKS.md]

Writes a Markdown page to stdout and to --out, progress to stderr. What is measured is kept in
--state as it comes: the same command goes on where the last one was stopped, and measures anew
once asr_core, this script or torch has changed, or the file is deleted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import torch

from asr_core.saving.files import write_text
from robust.bench.training_cost import SIDE, point
from robust.bench.training_measure import (
    Measurements,
    code_digest,
    count,
    count_instructions,
    measure_time,
    say,
)
from robust.bench.training_page import counted_page, timed_page


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--depth", type=int, default=164)
    parser.add_argument(
        "--count-at",
        type=point,
        nargs="*",
        default=[(11, 2), (11, 4), (11, 8), (20, 2), (20, 8)],
        metavar="DEPTHxBATCH",
        help="where instructions are counted: two depths and two batch sizes, or more; none: not",
    )
    parser.add_argument("--state", type=Path, default=Path("runs/bench_training.json"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.batch < 1:
        parser.error("rounds and batch are 1 or more")
    options.count_at = sorted(set(options.count_at))
    several = (len({at[i] for at in options.count_at}) for i in range(2))
    if options.count_at and (len(options.count_at) < 4 or min(several) < 2):
        parser.error("a fit needs --count-at four nets, of two depths and two batch sizes or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    version = torch.__version__.split("+")[0]
    to, points = (options.depth, options.batch), options.count_at
    measurements = Measurements(
        options.state, {"of": list(to), "torch": version, "code": code_digest()}
    )
    count(measurements, to)
    if points and not (shutil.which("valgrind") and shutil.which("vgdb")):
        say("valgrind is not installed: no instructions are counted")
    elif points:
        count_instructions(measurements, points)
    measure_time(measurements, options.depth, options.batch, options.rounds)
    page = [
        "# What ASR costs",
        f"{SIDE}×{SIDE}, SE gates after each block's last BatchNorm, float32, one thread of "
        f"{os.cpu_count()} cores {platform.machine()}, torch {version}. Made by "
        "`scripts/benchmarks/training.py`.",
        *counted_page(measurements, to, points),
        *timed_page(measurements, to, options.rounds),
    ]
    text = "\n\n".join(part.strip() for part in page)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


def command(arguments: list[str] | None = None) -> int:
    """:func:`main`; what Ctrl-C or SIGTERM stops says how to go on, and 130 is returned."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(arguments)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(command())
