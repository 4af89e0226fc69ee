"""Progress on stderr, so that stdout stays free for results."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from robust.report import escape


class _Line(TextColumn):
    """Names of files and models are shown, not obeyed as mark-up or controls."""

    def render(self, task: Task) -> Text:
        return Text(escape.line(self.text_format.format(task=task)))


def progress_bar(*, quiet: bool = False) -> Progress:
    """A rich progress bar with a free text column, ``note``; ``quiet`` shows nothing."""
    return Progress(
        _Line("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Line("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=quiet,
    )


def say_above(bar: Progress, line: str) -> None:
    """Print ``line``, as :func:`robust.cli.output.say` would, above the bar."""
    bar.console.print(Text(escape.line(line)), soft_wrap=True)


def in_words(seconds: float) -> str:
    """A time that is an estimate: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
