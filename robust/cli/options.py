"""The options that several commands share; docs/OPTIONS.md says what each word means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from asr_core import limits
from asr_core.errors import InputError
from robust.cli import names
from robust.cli.output import say
from robust.cli.values import Device, Existing, Named, RecipeName, Whole
from robust.norm_noise.adaptation import parse_statistics
from robust.norm_noise.severity import NOISES, parse_severity

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[Any], Any]

CHECKPOINT = Existing("checkpoint")


class Command(click.Command):
    """A command that also takes the spellings of the version before, with a hint on stderr.

    Args:
        old: what to write today for each option of old, such as ``{"--cpu": "--device=cpu"}``.
    """

    def __init__(self, *args: Any, old: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.old = old or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``, each option in today's spelling."""
        return super().parse_args(ctx, [self._today(ctx, arg) for arg in args])

    def _today(self, ctx: click.Context, arg: str) -> str:
        option, equals, value = arg.partition("=")
        if option not in self.old:
            return arg
        if not ctx.resilient_parsing:
            hint(option, self.old[option])
        return self.old[option] + equals + value


def hint(old: str, new: str) -> None:
    """Say how an option is spelt today; the old spelling goes with the next version."""
    say(f"robust: hint: {old} is now {new.replace('=', ' ')}", err=True)


def _shared(*declarations: str, **settings: Any) -> Callable[..., Option]:
    """An option as all commands have it; a command adds its help and what is particular there."""

    def declare(help: str | None = None, *names: str, **particular: Any) -> Option:
        given = {**settings, **particular, **({} if help is None else {"help": help})}
        shown = given.get("default") is not None
        return click.option(*declarations, *names, show_default=shown, **given)

    return declare


as_json = _shared("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
attention = _shared("--attention", type=Named("attention module", names.attentions), default="se")
batch_size = _shared("--batch-size", type=Whole(1, limits.BATCH), help="Images at a time.")
checkpoint = _shared("--checkpoint", type=CHECKPOINT)
data = _shared("--data", type=Named("data set", names.data_sets, or_path="folder"))
data_folder = _shared(
    "--data-folder", type=click.Path(), help="Where the files of the data set are."
)
delta = _shared("--delta", type=Whole(1, limits.DELTA), default=1, help="Gates per position.")
device = _shared("--device", type=Device(), default="cpu", help="Where to compute.")
epochs = _shared(
    "--epochs", type=Whole(1, limits.EPOCHS), help="Milestones and warm-up move along.  [recipe's]"
)
images = _shared("--images", type=Existing("file or folder"), multiple=True)
loss_network = _shared(
    "--loss-network",
    type=Named("loss network", names.LOSS_NETWORKS, or_path="file"),
    default="auto",
    help="What the losses compare pictures by; auto: vgg16 if fetched, or else embedded.",
)
max_images = _shared("--max-images", type=Whole(2, limits.STEPS))  # a variance needs two
max_pixels = _shared(
    "--max-pixels", type=Whole(1, 2**62), default=50_000_000, help="Refuse to read larger pictures."
)
model = _shared(
    "--model",
    metavar="MODEL",
    help="Build the network from this name; needed for weights of timm's or torchvision's own, and "
    "where the file names code.",
)
noise = _shared("--noise", type=Named("noise", lambda: NOISES), is_eager=True)
"""Eager, as severities are read by it."""
norm = _shared("--norm", type=Named("norm", names.norms))
out = _shared("--out", type=click.Path())
no_report = _shared("--no-report", is_flag=True, help="Write no report.html.")
overwrite = _shared("--overwrite", is_flag=True, help="Replace what is in --out.")
precision = _shared(
    "--precision",
    type=Named("precision", ["no", "bf16"]),
    default="no",
    help="Number format of the forward; bf16 is faster.",
)
quiet = _shared("--quiet", is_flag=True, help="Show no progress.")
recipe = _shared("--recipe", metavar="RECIPE", type=RecipeName())
repeats = _shared("--repeats", type=Whole(1, limits.REPEATS))
seed = _shared("--seed", type=Whole(-limits.SEED, limits.SEED), default=0)
size = _shared("--size", type=Whole(64, limits.SIDE, step=4))
split = _shared("--split", type=Named("split", names.SPLITS), default="test")
style = _shared("--style", type=Named("style", names.styles, or_path="file"))
train_seeds = _shared("--train-seeds", type=Whole(1, limits.RUNS))
workers = _shared("--workers", type=Whole(0, limits.WORKERS))

TRAINING = Named("precision", ["no", "bf16", "fp16"])
"""Number formats of a training run."""


def severity(help: str, name: str = "severity", *, training: bool = False, **given: Any) -> Option:
    """``--severity``, the strength of ``--noise``; in ``training`` companions are free."""

    def check(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        chosen = ctx.params.get("noise")
        if not value or chosen in (None, "all"):
            return value
        for text in [value] if isinstance(value, str) else value:
            own = text.partition(":")[0] if training and chosen == "batch" else text
            try:
                parse_severity(chosen, own)
            except InputError as error:
                raise click.BadParameter(str(error), ctx, parameter) from None
        return value

    forms = "N or N:COMPANIONS (batch), SCALE,SHIFT (constant), 0..1 or uniform (random)."
    return click.option("--severity", name, callback=check, help=f"{help}: {forms}", **given)


def statistics(help: str, **given: Any) -> Option:
    """``--statistics``, what BatchNorm normalises by."""

    def check(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        for text in [value] if isinstance(value, str) else value:
            try:
                parse_statistics(text)
            except InputError as error:
                raise click.BadParameter(str(error), ctx, parameter) from None
        return value

    forms = "running, batch:N, blend:N, blend:N:n, re-estimated."
    return click.option(
        "--statistics", metavar="STATISTICS", callback=check, help=f"{help}: {forms}", **given
    )


def training_noise(command: F) -> F:
    """``--noise`` and ``--severity`` of a training run."""
    strength = severity("How strong [4; 0.5,0.5; uniform]", training=True)
    kind = noise("Train under this noise (the train phase of an attack).")
    return kind(strength(command))


def companions(severity: str | None, mix: str | None) -> tuple[str | None, str | None]:
    """The severity and the mix of a training run from ``--severity N:COMPANIONS``."""
    if mix is not None:
        hint(f"--mix {mix}", f"--severity {severity or 4}:{mix}")
        return severity, mix
    size, colon, others = (severity or "").partition(":")
    return (size, None if others == "photos" else others) if colon else (severity, None)
