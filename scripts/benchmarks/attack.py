"""Time and memory of the main job, of start-up, and of the folded style network.

Prints a table and writes JSON. Run it on a quiet machine; ratios are taken within one run.

    python scripts/benchmarks/attack.py [--stream-images 1000] [--json FILE]

On a shared machine the clock says little: with --against another checkout only the main job is run,
here and there in turns, and compared by the CPU's seconds.

    python scripts/benchmarks/attack.py --against ../earlier [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from rich.console import Console

from robust.report.table import Table
from styletransfer.inference import fold_network, speed_ratio
from styletransfer.network import StyleNetwork

ROBUST = [sys.executable, "-m", "robust"]
MAIN_JOB = ("attack", "--noise", "batch", "--quiet")
COLUMNS = {
    "seconds": "seconds", "cpu_seconds": "CPU seconds", "megabytes": "peak MB", "ratio": "ratio",
}  # fmt: skip


class Cost(NamedTuple):
    """What one ``robust`` command took."""

    seconds: float
    megabytes: float
    cpu_seconds: float


def measured(*arguments: str, checkout: Path | None = None) -> Cost:
    """The cost of one ``robust`` command, of this checkout or of another."""
    there = {} if checkout is None else {"PYTHONPATH": str(checkout.resolve())}
    start = time.perf_counter()
    process = subprocess.Popen(
        [*ROBUST, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **there},
        cwd=checkout,
    )
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"robust {' '.join(arguments)} failed: {error.decode()}")
    seconds = time.perf_counter() - start
    return Cost(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def start_up(rounds: int = 7) -> dict[str, Any]:
    seconds = sorted(measured("--help").seconds for _ in range(rounds))
    return {"what": "robust --help, median", "seconds": seconds[rounds // 2], "bound": "0.25 s"}


def main_job(folder: Path) -> dict[str, Any]:
    cost = measured(*MAIN_JOB, "--out", str(folder / "run"))
    return {"what": " ".join(["robust", *MAIN_JOB]), **cost._asdict(), "bound": "1500 MB"}


def against(other: Path, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """The main job here and there, in turns, and the share of the CPU's seconds of each round."""
    rows = []
    for number in range(rounds):
        costs = {}
        for name, checkout in (("there", other), ("here", Path(__file__).parents[2])):
            out = str(folder / f"{name}-{number}")
            costs[name] = measured(*MAIN_JOB, "--out", out, checkout=checkout)
            rows.append({"what": f"{name}, round {number + 1}", **costs[name]._asdict()})
        rows[-1]["ratio"] = costs["here"].cpu_seconds / costs["there"].cpu_seconds
        rows[-1]["bound"] = "ratio at most 0.5, 1500 MB"
    return rows


def streaming(folder: Path, count: int) -> list[dict[str, Any]]:
    """The same attack on few and on many images: memory must not grow with their number."""
    rows = []
    for images in (max(2, count // 20), count):
        place = folder / f"images-{images}"
        place.mkdir()
        for index in range(images):
            shade = 40 + index * 170 // images
            gradient = Image.linear_gradient("L").resize((80, 80))
            Image.merge("RGB", (gradient, gradient.rotate(90), gradient.point([shade] * 256))).save(
                place / f"{index:05}.png"
            )
        options = ["--norm", "bn", "--train-seeds", "1", "--severity", "2", "--repeats", "1"]
        cost = measured(
            "attack", "--images", str(place), "--size", "64", "--quiet", *options,
            "--out", str(folder / f"run-{images}"),
        )  # fmt: skip
        what = f"attack on {images} images of 64 px"
        rows.append({"what": what, **cost._asdict(), "bound": "equal memory"})
    return rows


def folded() -> list[dict[str, Any]]:
    """The IN network against BN+ASR of the same width, folded, at 512 px."""
    rows = []
    image = torch.rand(1, 3, 512, 512)
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        instance, fast = StyleNetwork("in").eval(), fold_network(StyleNetwork("bn+asr").eval())
        slow_seconds, fast_seconds = speed_ratio(instance, fast, image, rounds=9)
        rows.append(
            {
                "what": f"512 px, {threads} threads: IN {slow_seconds * 1000:.0f} ms, folded",
                "seconds": fast_seconds,
                "ratio": slow_seconds / fast_seconds,
                "bound": "ratio above 1",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stream-images", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.against:
            rows = against(options.against, folder, options.rounds)
        else:
            rows = [
                start_up(), main_job(folder), *folded(), *streaming(folder, options.stream_images),
            ]  # fmt: skip
    cells = [
        [
            row["what"],
            *(f"{row[key]:.2f}" if key in row else "" for key in COLUMNS),
            row.get("bound", ""),
        ]
        for row in rows
    ]
    Console().print(Table(("what", *COLUMNS.values(), "bound"), cells).rich())
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
