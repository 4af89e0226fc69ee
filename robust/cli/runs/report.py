"""``robust report``: the page of a run, from what is in its folder."""

from __future__ import annotations

from pathlib import Path

import click

from robust.cli import options
from robust.cli.output import say


def finish(folder: Path | str, *, no_report: bool, quiet: bool) -> None:
    """Write the page of a run that has just ended; unless ``quiet`` stderr says where it is."""
    if not no_report:
        from robust.report.page.build import write_report

        page = write_report([Path(folder)])
        if not quiet:
            say(f"report: {page}", err=True)


@click.command("report", cls=options.Command)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@options.out("The file.  [report.html in the run's folder; of several runs, here]")
def report(runs: tuple[str, ...], out: str | None) -> None:
    """Write report.html: the answer, pictures to compare, curves, tables, and how it was made.

    RUN is the folder of `robust attack`, `train`, `evaluate --suite`, `stripes`, `sweep` or
    `study`; each of them writes its page at its end. One file that loads nothing, made from the
    run's data alone: the same data give the same bytes. Several runs of one kind stand side by
    side.
    """
    from robust.report.page.build import write_report

    say(str(write_report([Path(run) for run in runs], None if out is None else Path(out))))
