"""``robust study``: studies whose endpoints are declared before their runs."""

from __future__ import annotations

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.runs.report import finish
from robust.cli.values import Existing, Whole


@click.group("study")
def study() -> None:
    """Run a study whose endpoints are declared before its runs."""


@study.command("paper")
@options.data("Data set, or a folder of class folders.  [the protocol's: shapes]")
@options.data_folder()
@click.option(
    "--protocol",
    type=Existing("file"),
    help="A protocol of your own (.toml).  [the one that ships]",
)
@options.train_seeds(
    "Training seeds an arm, fixed before anything is seen.  [the protocol's]", "--seeds", "seeds"
)
@click.option(
    "--style", type=Existing("folder"), help="An attack with batch noise on style networks."
)
@options.workers("Runs at a time.", type=Whole(1, limits.WORKERS), default=1)
@options.device("Where to compute; the workers share an accelerator.", default="auto")
@click.option("--no-train", is_flag=True, help="Measure what is trained, and train nothing.")
@options.out("Folder of the study.  [runs/study-paper]")
@options.no_report()
@options.as_json()
@options.quiet()
@click.pass_context
def paper(
    ctx: click.Context,
    data: str | None,
    data_folder: str | None,
    protocol: str | None,
    seeds: int | None,
    style: str | None,
    workers: int,
    device: str,
    no_train: bool,
    out: str | None,
    no_report: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train, measure and decide the five endpoints that were declared for the paper's claims.

    The declaration is written to --out before anything is trained; a folder with another one is
    refused. The same command goes on where it was interrupted: each run has a folder of its own,
    seed by seed, and scores.csv keeps what was measured. With fewer seeds than the protocol's least
    number there are estimates and intervals, but no verdicts.

    --style is the folder of `robust attack --noise batch --full`: its networks are the fifth
    endpoint's. If a run fails the rest goes on, the exit code is 1, and the run is named.
    """
    from pathlib import Path

    from robust.device import choose_device
    from robust.protocol.declared import SHIPPED, read_protocol
    from robust.protocol.report import PAGE, command_of, report
    from robust.protocol.study import Study

    choose_device(device)
    begun = Study.begin(
        *read_protocol(protocol or SHIPPED),
        Path(out or "runs/study-paper"),
        data=data,
        data_folder=data_folder,
        seeds=seeds,
    )
    failures = [] if no_train else begun.train(workers=workers, device=device, quiet=quiet)
    findings = begun.measure(device=device, style=None if style is None else Path(style))
    told = report(begun, findings, command_of(data, data_folder, protocol, begun.declaration.seeds))
    finish(begun.folder, no_report=no_report, quiet=quiet or as_json)
    if as_json:
        say_json(told.as_dict())
    else:
        say(*told.table.plain(), "What would decide what is open:", *told.lines)
        say(f"{begun.folder / PAGE}")
    for failure in failures:
        say(f"robust: failed: {failure}", err=True)
    if failures:
        ctx.exit(1)
