"""What the suites of corruptions and attacks cost on one core, and whether memory stays flat.

Images a second of corrupting alone and of a whole pass with a small network (resnet11, untrained,
on the embedded test images), for each kind; then the peak of memory of a run on some images, and
on four times as many, each in a process of its own (Linux only).

    python scripts/benchmarks/suites.py [--images 180] [--batch 90] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from asr_core.data import ImageSet, MemorySplit, open_data
from asr_core.models import Normalized, build
from asr_core.saving.files import write_json
from robust.corruptions import KINDS, SEVERITIES, corrupt
from robust.report.table import Table
from robust.suites import SUITES, Condition, SuiteOptions, run_suite

MEMORY_BATCH = 64


def pictures(count: int) -> ImageSet:
    """The embedded set with ``count`` test images, spread over the classes, again and again."""
    data = open_data("embedded")
    places = torch.arange(count) * 7 % len(data.test)
    split = MemorySplit(
        data.test.test_batch(places).mul(255).round().byte(), data.test.labels[places]
    )
    return dataclasses.replace(data, test=split)


def network(data: ImageSet) -> nn.Module:
    torch.manual_seed(0)
    return Normalized(build("resnet11", len(data.classes)), data.mean, data.std).eval()


def corrupting(data: ImageSet, batch: int) -> dict[str, float]:
    """Images a second of each kind alone, over all severities."""
    images, found = data.test.test_batch(torch.arange(len(data.test))).mul(255).byte(), {}
    for kind in KINDS:
        corrupt(images[:1], kind, 1, indices=[0], seed=0)  # kernels and textures are made once

        def run(kind: str = kind) -> None:
            for severity in SEVERITIES:
                for part in torch.arange(len(images)).split(batch):
                    corrupt(images[part], kind, severity, indices=part, seed=0)

        found[kind] = len(SEVERITIES) * len(images) / seconds(run)
    return found


def passes(data: ImageSet, suite: str, batch: int) -> dict[str, float]:
    """Images a second through corruption or attack and network, by kind; "clean": network alone."""
    made, model, found = SUITES[suite](SuiteOptions(data=data)), network(data), {}
    places = torch.arange(len(data.test)).split(batch)
    parts = [(data.test.test_batch(part), part, data.test.labels[part]) for part in places]
    by_kind: dict[str, list[Condition]] = {}
    for condition in made.conditions():
        by_kind.setdefault(condition.kind, []).append(condition)

    @torch.no_grad()
    def clean() -> None:
        for images, _, _ in parts:
            model(images)

    clean()
    found["clean"] = len(data.test) / seconds(clean)
    for kind, conditions in by_kind.items():

        @torch.no_grad()
        def run(conditions: list[Condition] = conditions) -> None:
            for condition in conditions:
                for images, part, labels in parts:
                    made.apply(condition, model, images, indices=part, labels=labels)

        found[kind] = len(conditions) * len(data.test) / seconds(run)
    return found


def seconds(run: Callable[[], None]) -> float:
    """CPU time: other work on the machine does not count."""
    start = time.process_time()
    run()
    return time.process_time() - start


def peak(suite: str, count: int) -> float:
    """Peak memory in MB of a process that runs a suite on ``count`` images."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_once, (suite, count))


def _run_once(suite: str, count: int) -> float:
    torch.set_num_threads(1)
    data = pictures(count)
    made = SUITES[suite](SuiteOptions(data=data))
    kinds = {c.kind: c for c in made.conditions()}
    made.conditions = lambda: list(kinds.values())  # type: ignore[method-assign]
    run_suite(network(data), data.test, made, batch_size=MEMORY_BATCH)
    # Not getrusage: its figure begins at what the parent process had.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(s for s in status.splitlines() if s.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=180)
    parser.add_argument("--batch", type=int, default=90)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = pictures(options.images)
    alone = corrupting(data, options.batch)
    whole = {s: passes(data, s, options.batch) for s in ("corruptions", "adversarial")}
    memory = {suite: {count: peak(suite, count) for count in (256, 1024)} for suite in whole}

    rows = [
        (suite, kind, f"{alone[kind]:,.0f}" if kind in alone else "", f"{speed:,.0f}")
        for suite, speeds in whole.items()
        for kind, speed in speeds.items()
    ]
    head = ("suite", "kind", "corrupting, images/s", "whole pass, images/s")
    console = Console()
    console.print(Table(head, rows, words=2).rich())
    for suite, peaks in memory.items():
        said = ", ".join(f"{count} images {peak:,.0f} MB" for count, peak in peaks.items())
        console.print(f"peak memory of {suite}: {said}")
    if options.json:
        write_json(options.json, {"alone": alone, "whole": whole, "memory_mb": memory})


if __name__ == "__main__":
    main()
