"""``robust completion``: commands, options and values completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from robust.cli.output import say
from robust.cli.values import Named

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", epilog="fish: robust completion fish | source")
@click.argument("shell", type=Named("shell", SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options and values.

    In bash and zsh this line in ~/.bashrc or ~/.zshrc (there below compinit) installs it, with the
    name of the shell: eval "$(robust completion bash)"
    """
    script = get_completion_class(shell)
    assert script is not None
    source = script(ctx.find_root().command, {}, "robust", "_ROBUST_COMPLETE").source()
    say(*source.splitlines())
