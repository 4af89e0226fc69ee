#!/usr/bin/env python3
"""Damaged inputs, and what the program makes of them.

Images, checkpoints, metadata, command lines and TOML files are drawn from a seed and given to
`robust` one at a time. Each is to be accepted, or refused by one line and exit code 2. What is
neither is a fault: an internal error (any other exception, exit code or signal), a hang (10 s of
processor time, or of doing nothing, beyond the declared work), a program or foreign code that was
run, 1.5 GB of memory more than before, or control characters printed raw. Training is stopped where
it begins, and other work that a command line asks for after 5 s.

    python scripts/checks/fuzz.py --seed 0 --count 5000 --jobs 2 --out runs/fuzz
    python scripts/checks/fuzz.py --case images:0:17

Equal faults (by kind, exception and place) are told once, in --out: faults.csv, faults.md, and a
folder for the smallest input of each. Ends with 1 where there is any.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a thread that was started does not survive a fork

from fuzzing.case import FAULTS, Case, Files, Verdict
from fuzzing.images import images
from fuzzing.lines import commands, toml
from fuzzing.models import checkpoints, material, metadata
from fuzzing.watch import judged

from asr_core.saving.files import write_text
from robust.report.table import Table

Generator = Callable[[Random, str, Mapping[str, Files]], Case]
KINDS: Mapping[str, tuple[Generator, float]] = {
    "images": (images, 0.3),
    "checkpoints": (checkpoints, 0.2),
    "metadata": (metadata, 0.2),
    "commands": (commands, 0.2),
    "toml": (toml, 0.1),
}
"""What draws a case, and its share of them."""

Finding = tuple[str, str, str]
"""Kind of verdict, exception, place."""


def make(name: str, parts: Mapping[str, Files]) -> Case:
    """The case of this name, KIND:SEED:INDEX."""
    return KINDS[name.partition(":")[0]][0](Random(name), name, parts)


def names(seed: int, count: int, only: str | None = None) -> list[str]:
    """Names of ``count`` cases, the kinds mixed."""
    shares = {only: 1.0} if only else {kind: share for kind, (_, share) in KINDS.items()}
    found = [(i / share, f"{k}:{seed}:{i}") for k, share in shares.items() for i in range(count)]
    return [name for _, name in sorted(found)[:count]]


class Findings:
    """Faults without repetition, each with its smallest input."""

    def __init__(self) -> None:
        self.counts: Counter[Finding] = Counter()
        self.smallest: dict[Finding, tuple[Case, Verdict]] = {}
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)

    def add(self, case: Case, verdict: Verdict) -> None:
        """Count the verdict, and keep the case if it is the smallest of its fault."""
        what = case.name.partition(":")[0], verdict.kind
        self.verdicts[what] += 1
        self.seconds[what] += verdict.seconds
        if verdict.kind not in FAULTS:
            return
        finding = verdict.kind, verdict.what, verdict.place
        self.counts[finding] += 1
        known = self.smallest.get(finding)
        if known is None or case.size < known[0].size:
            self.smallest[finding] = case, verdict

    def write(self, folder: Path) -> None:
        """faults.csv, faults.md and the inputs; an earlier run's are replaced."""
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        rows = []
        for finding in sorted(self.counts):
            case, verdict = self.smallest[finding]
            rows.append(
                (*finding, str(self.counts[finding]), case.name, case.about, *_said(case, verdict))
            )
            case.lay(folder / "inputs" / case.name.replace(":", "-"))
        head = ("verdict", "exception", "place", "cases", "smallest", "damage", "line", "said")
        write_text(folder / "faults.csv", Table(head, rows, words=3).csv())
        short = [[cell[:160] for cell in row] for row in rows]
        write_text(folder / "faults.md", Table(head, short, words=len(head)).markdown())


def _said(case: Case, verdict: Verdict) -> tuple[str, str]:
    line = " ".join(part if len(part) < 60 else f"{part[:57]}..." for part in case.line)
    texts = (ascii(text)[1:-1] for text in (line[:400], " ".join(verdict.said.split())[:400]))
    first, second = texts
    return first, second


def run(cases: Iterable[Case], total: int, *, jobs: int, console: Console, out: Path) -> Findings:
    """Run and judge the cases; what is found is written every hundred cases."""
    found = Findings()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Without a thread of its own: forked processes would get its locks as they stand.
    with Progress(*columns, console=console, auto_refresh=False) as bar, _folder() as folder:
        task = bar.add_task("cases", total=total)
        for number, (case, verdict) in enumerate(judged(cases, Path(folder), jobs=jobs), start=1):
            found.add(case, verdict)
            bar.advance(task)
            if console.is_terminal and number % 20 == 0:
                bar.refresh()
            if number % 100 == 0 or number == total:
                found.write(out)
                if not console.is_terminal:
                    console.print(f"{number} of {total} cases, {len(found.counts)} faults")
    return found


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)


@click.command(help=__doc__)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--count", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--only", type=click.Choice(list(KINDS)), help="Cases of this kind alone.")
@click.option("--case", "chosen", multiple=True, help="Repeatable: this case, KIND:SEED:INDEX.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/fuzz"), show_default=True
)
def main(
    seed: int, count: int, only: str | None, chosen: tuple[str, ...], jobs: int, out: Path
) -> None:
    console = Console(stderr=True)
    console.print("making the files that are damaged")
    parts = material()
    wanted = list(chosen) or names(seed, count, only)
    found = run(
        (make(name, parts) for name in wanted), len(wanted), jobs=jobs, console=console, out=out
    )
    rows = [
        (*what, str(number), f"{found.seconds[what]:.0f}")
        for what, number in sorted(found.verdicts.items())
    ]
    head = ("kind", "verdict", "cases", "seconds of processor time")
    console.print(Table(head, rows, words=2).rich())
    for case, verdict in found.smallest.values():
        console.print(
            f"{verdict.kind}: {verdict.what} in {verdict.place}: {case.name}", markup=False
        )
    console.print(f"{len(found.counts)} faults; {out / 'faults.md'}", markup=False)
    sys.exit(1 if found.counts else 0)


if __name__ == "__main__":
    main()
