"""``robust power``: how many seeds a study needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.values import Existing

if TYPE_CHECKING:
    from robust.stats.pilot import PilotRun


@click.command("power")
@click.argument("pilot", metavar="PILOT...", type=Existing("file or folder"), nargs=-1)
@click.option(
    "--effect",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="That is to be seen, in points of top-1 (of a CSV file, in the unit of its scores).",
)
@options.train_seeds("Of a study: what would it see?  [not asked]", "--seeds", "seeds")
@options.as_json()
def power(pilot: tuple[str, ...], effect: float, seeds: int | None, as_json: bool) -> None:
    """Say how many training seeds an effect takes, what they cost, and what N seeds would see.

    PILOT are finished run folders of `robust train`, folders that hold such folders, or CSV files
    with the columns variant, seed, score and, if known, seconds. Only the spread between seeds is
    taken from them, never which variant is better. An effect is seen if the 95 % interval leaves 0
    out, in four of five studies: the noncentral t distribution says when. Seeds are paired where
    both variants are trained from the same initial backbone, order and augmentation.
    """
    from dataclasses import asdict

    from asr_core.errors import InputError
    from robust.report.table import Table
    from robust.stats.pilot import plans

    if not pilot:
        raise InputError("name finished runs, folders of them, or CSV files of scores")
    found = plans(
        [run for path in pilot for run in _pilot_runs(Path(path))], effect=effect, planned=seeds
    )
    if as_json:
        say_json([asdict(plan) for plan in found])
        return
    head = ["variants", "seeds", "pilot", "spread", f"seeds for {effect:g}", "core-hours"]
    rows = [
        [
            " and ".join(plan.variants),
            "paired" if plan.paired else "unpaired",
            f"{plan.pilot}",
            f"{plan.spread:.3g}",
            f"{plan.seeds}",
            "" if plan.hours is None else f"{plan.hours:.3g}",
            *([] if plan.visible is None else [f"{plan.visible:.3g}"]),
        ]
        for plan in found
    ]
    if seeds is not None:
        head.append(f"visible with {seeds}")
    say(*Table(head, rows, words=2).plain())
    few = min(plan.pilot for plan in found)
    say(
        "80 % power, 95 % intervals; the spread is the standard deviation of the paired "
        "differences or, unpaired, the root of the sum of both variances. "
        f"From {few} seeds it is known to about {100 / (2 * (few - 1)) ** 0.5:.0f} %."
    )


def _pilot_runs(path: Path) -> list[PilotRun]:
    """The finished runs that ``path`` stands for.

    Raises:
        InputError: no run is finished there, or a CSV file without the columns.
    """
    import csv

    from asr_core.errors import InputError
    from asr_core.training.folder import CONFIG, RESULT, read_config, read_result
    from robust.stats.pilot import PilotRun
    from robust.suites.subject import variant

    if path.is_dir():
        folders = [path] if (path / RESULT).is_file() else sorted(path.iterdir())
        found = []
        for folder in folders:
            if (folder / RESULT).is_file():
                config, result = read_config(folder / CONFIG).config, read_result(folder / RESULT)
                score, seconds = 100 * result.test.top1, result.train_seconds
                found.append(PilotRun(variant(config), config.seed, score, seconds))
        if not found:
            raise InputError(f"{path}: no finished run of `robust train` is there")
        return found
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel begins with a mark
            rows = list(csv.DictReader(file))
        return [
            PilotRun(
                row["variant"],
                int(row["seed"]),
                float(row["score"]),
                float(row["seconds"]) if row.get("seconds") else None,
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: not a table of variant, seed, score and seconds: {error}"
        ) from None
