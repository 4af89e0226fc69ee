"""What options take: names, paths, numbers and devices, checked before torch is imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


class Named(click.Choice[str]):
    """One of the known names; another is refused with the closest one and the list.

    Args:
        kind: what the names stand for ("attention module").
        known: the names, or what returns them.
        or_path: "file" or "folder" where the path of one is taken too.
    """

    def __init__(
        self, kind: str, known: Iterable[str] | Callable[[], Iterable[str]], *, or_path: str = ""
    ) -> None:
        self.kind, self.known, self.or_path = kind, known, or_path
        self.case_sensitive = True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """What click shows and completes."""
        return tuple(self.known() if callable(self.known) else self.known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value``; an unknown one fails."""
        is_path = os.path.isdir if self.or_path == "folder" else os.path.exists
        if value in self.choices or (self.or_path and is_path(value)):
            return str(value)
        nor = f"; nor is it a {self.or_path}" if self.or_path else ""
        self.fail(f"{unknown_name(self.kind, value, list(self.choices))}{nor}", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names, and FILE or FOLDER."""
        return f"[{'|'.join([*self.choices, *filter(None, [self.or_path.upper()])])}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """The names, and files where they are taken."""
        paths = click.File().shell_complete(ctx, param, incomplete) if self.or_path else []
        return [*super().shell_complete(ctx, param, incomplete), *paths]


class RecipeName(Named):
    """The name of a training recipe. Recipes need pydantic, so they are read when one is given."""

    def __init__(self) -> None:
        super().__init__("recipe", lambda: self._recipes().recipes())

    def _recipes(self) -> Any:
        return importlib.import_module("asr_core.recipes")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value``; an unknown one fails."""
        try:
            self._recipes().load_recipe(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Existing(click.Path):
    """The path of a file or folder that is there.

    Args:
        kind: what it is of, for the message ("checkpoint").
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value``; a path to nothing fails."""
        if not os.path.lexists(value):
            self.fail(f"{value}: no such {self.kind}", param, ctx)
        return str(value)


class Whole(click.ParamType[int]):
    """A whole number from ``least`` to ``most``, a multiple of ``step``."""

    name = "integer"

    def __init__(self, least: int, most: int, *, step: int = 1) -> None:
        self.least, self.most, self.step = least, most, step

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``value`` as a number; one out of range fails."""
        number = click.INT.convert(value, param, ctx)
        name = "it" if param is None or param.name is None else param.name.replace("_", " ")
        try:
            limits.whole(name, number, self.least, self.most)
        except InputError as error:
            self.fail(str(error), param, ctx)
        if number % self.step:
            self.fail(f"{name} is {number}; it must be a multiple of {self.step}", param, ctx)
        return number


class Real(click.ParamType[float]):
    """A number from ``least`` to ``most``."""

    name = "number"

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """``value`` as a number; one out of range, or none, fails."""
        number = click.FLOAT.convert(value, param, ctx)
        if not self.least <= number <= self.most:
            self.fail(f"it is {value}; it must be from {self.least} to {self.most}", param, ctx)
        return float(number)


class Device(click.ParamType[str]):
    """The name of a device; whether the machine has it is asked later."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value``; what names no device fails."""
        kind, colon, index = value.partition(":")
        if kind not in DEVICES or (colon and (kind in ("auto", "cpu") or not index.isdecimal())):
            self.fail(
                f"{value!r} names no device; known: {', '.join(DEVICES)}, and cuda:1 for the "
                "second of several", param, ctx,
            )  # fmt: skip
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The common names."""
        return "[auto|cpu|cuda|cuda:N|mps]"


def new_file(path: str, suffix: str, *, source: str, overwrite: bool) -> Path:
    """The path of a file to be written, checked before any work is done.

    Raises:
        InputError: another suffix, a file that exists, or the source.
    """
    out = Path(path)
    if out.suffix != suffix:
        raise InputError(f"--out {path} must end in {suffix}")
    if os.path.realpath(out) == os.path.realpath(source):
        raise InputError(f"--out {path} would replace the checkpoint itself; choose another name")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already; choose another --out, or --overwrite")
    return out
