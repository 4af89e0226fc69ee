"""``--config``: a run from a file, whose fields the other options override."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from robust.cli.options import companions

config_file = click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True),
    metavar="FILE",
    help="Run file, TOML or JSON, or the folder of a run to repeat; options override it.",
)


def run_fields(
    ctx: click.Context, config_file: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of ``config_file``, overridden by the ``options`` that the user gave."""
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    severity, mix = companions(given.pop("severity", None), given.pop("mix", None))
    given |= {k: v for k, v in (("severity", severity), ("mix", mix)) if v is not None}
    if config_file is None:
        return given
    from robust.training.run_file import overridden, read_run_file

    return overridden(read_run_file(config_file), given)
