"""How a study is started: the options that studies share, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from asr_core.errors import InputError
from robust.cli.errors import report
from robust.sweep import Run, run_missing


def study_parser(about: str, **defaults: object) -> argparse.ArgumentParser:
    """A parser with ``--docs`` and an option for each of ``defaults``, of its type.

    Args:
        about: the script's docstring, whose first line is the help.
        **defaults: by the options' names: numbers, texts or paths.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser


def start(study: Callable[..., object], parser: argparse.ArgumentParser) -> None:
    """Call ``study`` with the options of the command line, on one thread."""
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        study(**vars(options))
    except Exception as error:
        sys.exit(report(error))


def train_missing(runs: Iterable[Run], **options: Any) -> None:
    """:func:`robust.sweep.run_missing`.

    Raises:
        InputError: runs failed; a line about each.
    """
    raise_failures(run_missing(runs, **options))


def raise_failures(failures: list[str]) -> None:
    """Raise InputError with a line about each failed run, if there are any."""
    if failures:
        raise InputError("; ".join(failures))
