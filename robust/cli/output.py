"""What the commands say, line by line: names of files and models cannot steer the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from robust.report import escape


def say(*lines: str, err: bool = False) -> None:
    """Print each of ``lines`` as one line, on stderr with ``err``."""
    for line in lines:
        click.echo(escape.line(line), err=err)


def hint_to_fetch(choice: str, network: str) -> None:
    """Say how to get VGG16, where ``--loss-network auto`` had to take the fallback ``network``."""
    if choice == "auto" and network.startswith("embedded"):
        say(
            "robust: hint: `robust weights get vgg16` (a download of 64 MB) gives losses that see "
            "more than the embedded loss network does",
            err=True,
        )


def leave_busy_cores() -> None:
    """Let torch compute on idle cores only, and say so where some are busy."""
    import torch

    from robust import cores

    if cores.leave_busy_cores():
        say(
            f"robust: computing with {torch.get_num_threads()} threads, as other cores are busy "
            f"({cores.THREADS[0]} sets how many)",
            err=True,
        )


def say_json(value: Any) -> None:
    """Print ``value`` as indented JSON, in ASCII: it comes back as it was, on any terminal."""
    click.echo(json.dumps(value, indent=2))


def speed_line(before: float, after: float, shape: Sequence[int]) -> str:
    """Seconds of a forward before and after a change, on inputs of ``shape``, in words."""
    return (
        f"speed: {before * 1000:.1f} ms before, {after * 1000:.1f} ms after, "
        f"{before / after:.2f} times as fast (medians, side by side, inputs "
        f"{' × '.join(map(str, shape))})"
    )
