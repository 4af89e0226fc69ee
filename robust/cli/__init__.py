"""The command line ``robust``: a click group whose commands are imported only when they run.

``robust --help`` must answer at once, so this module imports neither torch nor numpy nor rich: the
help lines stand in a table, and a command's module is imported when the command is used.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import click

from robust.cli.errors import report
from robust.cli.output import say
from robust.cli.signals import ending_signals


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        target: where it is, as ``module:attribute``.
        help: its line in ``robust --help``.
    """

    target: str
    help: str


COMMANDS: dict[str, Lazy] = {
    "attack": Lazy(
        "robust.cli.runs.attack:attack",
        "Attack style networks (IN, BN, BN+ASR) with normalisation noise; grid and table.",
    ),
    "stylize": Lazy("robust.cli.runs.stylize:stylize", "Stylise images with one network."),
    "train": Lazy(
        "robust.cli.runs.train:train",
        "Train a classifier to a fused, checked file; `robust train style`: a style network.",
    ),
    "evaluate": Lazy(
        "robust.cli.runs.evaluate:evaluate_models",
        "Accuracy of classifiers, clean or under a robustness suite.",
    ),
    "inspect": Lazy(
        "robust.cli.networks.inspect:inspect_model",
        "Show where ASR gates go in a model, and their parameters.",
    ),
    "fuse": Lazy(
        "robust.cli.networks.fuse:fuse", "Fold a checkpoint's gates into its layers, with proof."
    ),
    "export": Lazy(
        "robust.cli.networks.export:export",
        "Write a checkpoint without gates: safetensors, pt2 or ONNX.",
    ),
    "freeze": Lazy(
        "robust.cli.networks.freeze:freeze",
        "Replace live attention by constants, fold them, and say what that costs.",
    ),
    "stripes": Lazy(
        "robust.cli.runs.stripes:stripes",
        "Show how alike the attention of different images is, and how it moved in training.",
    ),
    "bench": Lazy(
        "robust.cli.networks.bench:bench_model",
        "Parameters and speed: plain, live attention, ASR fused (Table 1).",
    ),
    "sweep": Lazy(
        "robust.cli.runs.sweep:sweep",
        "Train a grid of classifiers; `init` and `delta` are Tables 5 and 6.",
    ),
    "data": Lazy(
        "robust.cli.runs.data_card:data",
        "`robust data card`: whether a data set can decide what attention does.",
    ),
    "study": Lazy(
        "robust.cli.runs.study:study",
        "Run a study: `paper`, its endpoints declared; `network`, ImageNet weights under noise.",
    ),
    "power": Lazy(
        "robust.cli.runs.power:power",
        "Seeds that an effect takes, and the effect that seeds see, from pilot runs.",
    ),
    "report": Lazy(
        "robust.cli.runs.report:report",
        "Write a run's page: answer, pictures to compare, curves, tables, how it was made.",
    ),
    "weights": Lazy(
        "robust.cli.weights:weights", "List, fetch and verify weights that others trained."
    ),
    "recipes": Lazy(
        "robust.cli.recipes:list_recipes", "List the training recipes, or show one with its notes."
    ),
    "list": Lazy(
        "robust.cli.listing:list_names",
        "List the known styles, norm variants, noises, attention modules, controls and data sets.",
    ),
    "doctor": Lazy(
        "robust.cli.doctor:doctor", "Say what is installed, and what to install for what."
    ),
    "completion": Lazy(
        "robust.cli.completion:completion", "Print a script that completes commands in a shell."
    ),
}


class LazyGroup(click.Group):
    """A click group over a table of :class:`Lazy` commands, with errors as one line each.

    Args:
        lazy: the commands by name, in the order of the help page.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command ``cmd_name``; None when there is none."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines from the table: click's own way would import every command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.lazy.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with; an unknown one lists the known ones."""
        name = args[0]
        if name in self.lazy or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = difflib.get_close_matches(name, self.lazy, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise click.UsageError(
            f"unknown command {name!r}.{hint} Known: {', '.join(self.lazy)}.", ctx
        )

    def invoke(self, ctx: click.Context) -> None:
        """Run the command. What it returns is dropped: only ``ctx.exit`` sets the exit code."""
        super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run on ``sys.argv`` and exit; errors become one line (:mod:`robust.cli.errors`).

        With ``standalone_mode=False`` exceptions are the caller's, as in click. The environment
        variable ``ROBUST_TRACEBACK=1`` lets tracebacks through.
        """
        standalone = options.pop("standalone_mode", True)
        run: Callable[[], Any] = partial(super().main, *args, **options, standalone_mode=False)
        if not standalone:
            return run()
        try:
            with warnings.catch_warnings(), ending_signals():
                warnings.showwarning = _show_warning
                code = run()
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("ROBUST_TRACEBACK") == "1":
                raise
            code = report(error)
        sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"robust: warning: {message}", err=True)


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="robust-asr", prog_name="robust", message="%(prog)s %(version)s")
def main() -> None:
    """Attention at no inference cost (ASR), and how networks hold under normalisation noise."""
