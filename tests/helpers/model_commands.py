"""One command of the program at a time, inside the program's own frame."""

from __future__ import annotations

from click.testing import CliRunner, Result

from robust.cli import Lazy, LazyGroup

MODEL_COMMANDS = {
    "inspect": "robust.cli.networks.inspect:inspect_model",
    "fuse": "robust.cli.networks.fuse:fuse",
    "export": "robust.cli.networks.export:export",
    "freeze": "robust.cli.networks.freeze:freeze",
}


def invoke(command: str, *arguments: object) -> Result:
    """``robust COMMAND ARGUMENTS``, with errors as on the command line."""
    group = LazyGroup("robust", lazy={command: Lazy(MODEL_COMMANDS[command], "")})
    return CliRunner().invoke(group, [command, *map(str, arguments)], prog_name="robust")


def failed(result: Result, *words: str, code: int = 2) -> None:
    """The command said one line, on stderr, with these words, and exited with ``code``."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    *_, line = result.stderr.splitlines()
    assert line.startswith("robust: error: "), result.stderr
    for word in words:
        assert word in line, line
