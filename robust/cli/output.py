"""What the commands say, line by line: names of files and models cannot steer the terminal."""

from __future__ import annotations

import json
from typing import Any

import click

from robust.report import escape


def say(*lines: str, err: bool = False) -> None:
    """Print each of ``lines`` as one line, on stderr with ``err``."""
    for line in lines:
        click.echo(escape.line(line), err=err)


def say_json(value: Any) -> None:
    """Print ``value`` as indented JSON, in ASCII: it comes back as it was, on any terminal."""
    click.echo(json.dumps(value, indent=2))
