"""The options that several commands share; docs/OPTIONS.md says what each word means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from asr_core import limits
from asr_core.errors import InputError
from robust.cli import names
from robust.cli.output import say
from robust.cli.values import Device, Existing, Named, RecipeName, Whole
from robust.norm_noise.severity import NOISES, parse_severity

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[Any], Any]

LARGEST_PICTURE = 50_000_000
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


def device(default: str = "cpu", help: str = "Where to compute.") -> Option:
    """``--device``."""
    return click.option("--device", type=Device(), default=default, show_default=True, help=help)


def seed(help: str) -> Option:
    """``--seed``, of all that the command draws by chance."""
    kind = Whole(-limits.SEED, limits.SEED)
    return click.option("--seed", type=kind, default=0, show_default=True, help=help)


def size(help: str, default: int | None = None, *, least: int = 64, step: int = 4) -> Option:
    """``--size``, the shorter side of the pictures that the network sees."""
    kind = Whole(least, limits.SIDE, step=step)
    return click.option("--size", type=kind, default=default, show_default=True, help=help)


def batch_size(default: int | None = None, help: str = "Images at a time.") -> Option:
    """``--batch-size``."""
    kind = Whole(1, limits.BATCH)
    return click.option(
        "--batch-size", type=kind, default=default, show_default=default is not None, help=help
    )


def max_pixels(default: int = LARGEST_PICTURE) -> Option:
    """``--max-pixels``, a guard of the memory."""
    return click.option(
        "--max-pixels",
        type=Whole(1, 2**62),
        default=default,
        show_default=True,
        help="Refuse to read larger pictures.",
    )


def max_images(help: str, default: int | None = None) -> Option:
    """``--max-images``."""
    kind = Whole(2, limits.STEPS)  # a variance needs two
    return click.option(
        "--max-images", type=kind, default=default, show_default=default is not None, help=help
    )


def images(help: str) -> Option:
    """``--images``, repeatable files or folders."""
    return click.option("--images", multiple=True, type=Existing("file or folder"), help=help)


def model() -> Option:
    """``--model``, the name to build a checkpoint's network from."""
    return click.option(
        "--model",
        metavar="MODEL",
        help="Build the network from this name; needed where the file names code of its own.",
    )


def data(help: str, *, required: bool = False) -> Option:
    """``--data``, a data set by name or folder."""
    kind = Named("data set", names.data_sets, or_path="folder")
    return click.option("--data", type=kind, required=required, help=help)


def data_folder(help: str = "Where the files of the named set are.") -> Option:
    """``--data-folder``."""
    return click.option("--data-folder", type=click.Path(), help=help)


def split(help: str, choices: Sequence[str] = names.SPLITS) -> Option:
    """``--split``."""
    kind = Named("split", choices)
    return click.option("--split", type=kind, default="test", show_default=True, help=help)


def precision(*choices: str, default: str | None = "no", help: str = "") -> Option:
    """``--precision``, of the forward (and backward)."""
    return click.option(
        "--precision",
        type=Named("precision", choices),
        default=default,
        show_default=default is not None,
        help=help or "Number format of the forward; bf16 is faster.",
    )


def attention(help: str) -> Option:
    """``--attention``."""
    kind = Named("attention module", names.attentions)
    return click.option("--attention", type=kind, default="se", show_default=True, help=help)


def norm(help: str, name: str = "norm", *also: str, **options: Any) -> Option:
    """``--norm``, a norm variant of style networks, or one of the words ``also``."""
    kind = Named("norm", lambda: [*names.norms(), *also])
    return click.option("--norm", name, type=kind, show_default=True, help=help, **options)


def delta(command: F) -> F:
    """``--delta``."""
    kind = Whole(1, limits.DELTA)
    return click.option(
        "--delta", type=kind, default=1, show_default=True, help="Gates per position."
    )(command)


def workers(help: str, *, least: int) -> Option:
    """``--workers``, processes."""
    return click.option("--workers", type=Whole(least, limits.WORKERS), help=help)


def epochs(command: F) -> F:
    """``--epochs``, of a recipe."""
    kind = Whole(1, limits.EPOCHS)
    return click.option(
        "--epochs", type=kind, help="Milestones and warm-up move along.  [recipe's]"
    )(command)


def recipe(help: str, default: str | None = None) -> Option:
    """``--recipe``, of classifiers."""
    return click.option(
        "--recipe",
        metavar="RECIPE",
        type=RecipeName(),
        default=default,
        show_default=default is not None,
        help=help,
    )


def companions(severity: str | None, mix: str | None) -> tuple[str | None, str | None]:
    """The severity and the mix of a training run from ``--severity N:COMPANIONS``."""
    if mix is not None:
        hint(f"--mix {mix}", f"--severity {severity or 4}:{mix}")
        return severity, mix
    size, colon, others = (severity or "").partition(":")
    return (size, None if others == "photos" else others) if colon else (severity, None)


def noise(help: str, *also: str, default: str | None = None) -> Option:
    """``--noise``, on norm layers; ``also`` are further words."""
    return click.option(
        "--noise",
        type=Named("noise", lambda: [*NOISES, *also]),
        default=default,
        show_default=default is not None,
        is_eager=True,  # severities are read by it
        help=help,
    )


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


def training_noise(command: F) -> F:
    """``--noise`` and ``--severity`` of a training run."""
    strength = severity("How strong [4; 0.5,0.5; uniform]", training=True)
    kind = noise("Train under this noise (the train phase of an attack).")
    return kind(strength(command))


def vgg_weights(command: F) -> F:
    """``--vgg-weights``."""
    kind = Named("VGG16 weights", ["cached"], or_path="file")
    return click.option(
        "--vgg-weights", type=kind, help="VGG16 weights for the losses instead of the embedded."
    )(command)


def out(help: str, *, required: bool = False) -> Option:
    """``--out``, the file or folder that is written."""
    return click.option("--out", type=click.Path(), required=required, help=help)


def overwrite(command: F) -> F:
    """``--overwrite``."""
    return click.option("--overwrite", is_flag=True, help="Replace what is in --out.")(command)


def as_json(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")(
        command
    )


def quiet(command: F) -> F:
    """``--quiet``."""
    return click.option("--quiet", is_flag=True, help="Show no progress.")(command)
