"""A sweep from a grid to its folder: the runs, the figures, the table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asr_core import limits
from asr_core.errors import InputError
from asr_core.saving.exclusive import exclusive
from asr_core.saving.files import write_json, write_text
from robust.report import escape
from robust.sweep.claims import ClaimAnswer, answers, said
from robust.sweep.engine import Engine, ThisMachine
from robust.sweep.estimate import estimated_seconds
from robust.sweep.grid import Sweep
from robust.sweep.on_ray import MARK, on_ray
from robust.sweep.results import Results
from robust.sweep.runs import Run, minutes_left, run_missing
from robust.sweep.table import table_of

CSV, JSON, MARKDOWN, LATEX = "sweep.csv", "sweep.json", "sweep.md", "sweep.tex"


@dataclass(frozen=True)
class SweepOutcome:
    """The outcome of a sweep's finished runs.

    Attributes:
        results: their figures.
        answers: the answers to the claims.
        failures: a line about each run that failed.
    """

    results: Results
    answers: list[ClaimAnswer]
    failures: list[str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            **self.results.as_dict(),
            "paper": None if self.results.sweep.paper is None else self.results.sweep.paper.about,
            "table": table_of(self.results).as_dict(),
            "claims": [answer.as_dict() for answer in self.answers],
            "failures": self.failures,
        }

    def page(self) -> str:
        """Markdown: what the sweep is, its table, and its claims."""
        sweep, results = self.results.sweep, self.results
        fields = ", ".join(f"{name} {value}" for name, value in sweep.fields.items())
        about = (
            f"{sweep.title}: seeds a cell: {sweep.seeds} ({fields}). Percent of the "
            f"{results.images} test images after the last epoch, mean ± half the 95 % t interval "
            "over seeds; best bold, second best underlined, in each row."
        )
        if sweep.paper is not None:
            about += f" Paper: {sweep.paper.about}."
        parts = [escape.markdown(about), table_of(results).markdown().rstrip()]
        if self.answers:
            source = "The paper" if sweep.paper is not None else "Claim"
            parts.append(said(self.answers, source=source))
        if results.missing:
            names = ", ".join(folder.name for folder in results.missing)
            parts.append(escape.markdown(f"Not finished: {names}."))
        return "\n\n".join(parts)


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    workers: int | None = None,
    data_folder: str | None = None,
    device: str = "auto",
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    quiet: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> SweepOutcome:
    """Train what is missing, and write ``sweep.csv``, ``.json``, ``.md`` and ``.tex``.

    Args:
        sweep: the grid.
        folder: takes a folder for each run; finished ones are kept.
        workers: runs at a time; by default 1, with Ray as :func:`robust.sweep.on_ray.on_ray` says.
        data_folder: where the data set is.
        device: "auto", the machine's accelerator or else the CPU; or the name of a device.
        engine: "local", processes of this machine; or "ray", those of a cluster whose machines
            share the disk of ``folder``.
        address: HOST:PORT of the Ray cluster, or "auto"; by default Ray decides.
        quiet: no progress bar.
        tell: called with a line on the runs to train and their time, before the first one.

    Raises:
        InputError: workers out of range, a finished run was made with other options, the data
            cannot be opened, an address without Ray, the cluster cannot be used, or another process
            holds the folder.
        KeyboardInterrupt: says what is kept; the same call continues.
    """
    if workers is not None:
        limits.whole("workers", workers, 1, limits.WORKERS)
    if address is not None and engine != "ray":
        raise InputError(f"address is {address!r}, of a Ray cluster; choose engine 'ray' as well")
    with exclusive(folder):
        for mark in folder.glob(f"{MARK}*"):
            mark.unlink(missing_ok=True)  # left by a killed sweep
        runs = sweep.runs(folder, data_folder=data_folder)
        for run in runs.values():
            run.check()  # before anything is estimated
        missing = [run for run in runs.values() if not run.done]
        failures: list[str] = []
        place: AbstractContextManager[Engine] = nullcontext(ThisMachine())
        if missing and engine == "ray":
            place = on_ray(folder, workers=workers, device=device, address=address)
        with _kept_runs(folder, runs.values()), place as machines:
            if missing:
                workers = workers or machines.workers
                known = [run.seconds for run in runs.values() if run.done]
                known = known or [
                    estimated_seconds(
                        missing[0].training.config, device="cpu" if device == "cpu" else "auto"
                    )
                ]
                minutes = minutes_left(known, len(missing), workers)
                tell(
                    f"{len(missing)} of {len(runs)} runs to train, {sweep.recipe}: "
                    f"about {minutes:.0f} minutes with {workers} at a time"
                )
                failures = run_missing(
                    runs.values(),
                    workers=workers,
                    say=sweep.name,
                    seconds=known[0],
                    device=device,
                    quiet=quiet,
                    engine=machines,
                )
        results = Results(sweep, runs)
        outcome = SweepOutcome(results, answers(results), failures)
        _write(folder, outcome)
        return outcome


@contextmanager
def _kept_runs(folder: Path, runs: Collection[Run]) -> Iterator[None]:
    """Make an interrupt say which runs are kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        done = sum(run.done for run in runs)
        error.args = (
            f"{folder} keeps {done} finished runs of {len(runs)}; the same command goes on",
        )
        raise


def _write(folder: Path, outcome: SweepOutcome) -> None:
    """Write the files, the figures first."""
    write_text(folder / CSV, outcome.results.csv())
    write_json(folder / JSON, outcome.as_dict())
    write_text(folder / MARKDOWN, outcome.page() + "\n")
    write_text(folder / LATEX, table_of(outcome.results).latex())
