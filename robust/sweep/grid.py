"""A sweep as data: axes over the options of a training run, times seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.sweep.runs import Run
from robust.training.classifier import FIELDS as RUN_FIELDS
from robust.training.classifier import ClassifierRun

RECIPE = "resnet11-embedded"
"""The smallest network, on the data that needs no download."""

SEEDS = 3

FIELDS = tuple(name for name in RUN_FIELDS if name not in ("seed", "data_folder"))
"""What a sweep can vary or set: the fields of a run file (:mod:`robust.training.run_file`)."""
FIGURES = {"top1": "top-1", "top5": "top-5"}
"""Figures of the test split, and what tables call them."""

Value = str | int | float | bool | tuple[float, ...]
Point = tuple[Value, ...]
"""A value of each axis."""


@dataclass(frozen=True)
class Claim:
    """That networks are more accurate with the value ``better`` of the last axis than with others.

    ``say`` is the claim in words; ``note`` what else differs between the values.
    """

    say: str
    better: Value
    than: tuple[Value, ...]
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """Published figures of the same grid.

    Attributes:
        about: network, data and table.
        figures: name -> percentages, a row for each row of the table, a value for each column.
    """

    about: str
    figures: Mapping[str, tuple[tuple[float, ...], ...]]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid of training runs.

    Attributes:
        name: also that of its folder.
        title: what it is about.
        axes: field -> its values. The last axis makes the columns of the table, the others its
            rows.
        fields: field -> its value in every run.
        seeds: number of runs at each point, with seeds 0, 1, …
        figures: names in :data:`FIGURES` that the table shows.
        labels: axis -> how tables write its values, "{}" being the value.
        paper: published figures.
        claims: claims about the first figure.

    Raises:
        InputError: an unknown field, a value that no run can have, or parts that do not fit.
    """

    name: str
    title: str
    axes: Mapping[str, tuple[Value, ...]]
    fields: Mapping[str, Value]
    seeds: int = SEEDS
    figures: tuple[str, ...] = ("top1",)
    labels: Mapping[str, str]
    paper: Paper | None = None
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        if not self.axes:
            raise InputError("a sweep needs at least one axis")
        limits.whole("seeds", self.seeds, 1, limits.RUNS)
        for name in (*self.axes, *self.fields):
            if name not in FIELDS:
                raise unknown_name("option of a run", name, list(FIELDS))
        runs = math.prod([self.seeds, *map(len, self.axes.values())])
        if runs > limits.RUNS:  # before they are listed: a few lines can ask for billions
            raise InputError(
                f"{runs} runs, {self.seeds} seeds a cell: a sweep has at most {limits.RUNS}"
            )
        for axis, values in self.axes.items():
            if axis in self.fields:
                raise InputError(f"{axis!r} is an axis and is set for all runs too; drop one")
            if not values or len(set(map(repr, values))) < len(values):
                raise InputError(f"axis {axis!r} needs values, each once; got {list(values)}")
        for name in self.figures:
            if name not in FIGURES:
                raise unknown_name("figure", name, list(FIGURES))
        if not self.figures:
            raise InputError(f"figures is empty; choose of {', '.join(FIGURES)}")
        for axis in self.labels:
            if axis not in self.axes:
                raise unknown_name("axis to label", axis, list(self.axes))
        self._check_paper()
        for claim in self.claims:
            for value in (claim.better, *claim.than):
                if value not in self.columns:
                    raise InputError(
                        f"the claim {claim.say!r} is about {value!r}, which is no value of the "
                        f"last axis: {', '.join(map(str, self.columns))}"
                    )
        for point in self.points:
            self.training(point, seed=0)  # refuses what cannot be trained

    def _check_paper(self) -> None:
        for name, rows in self.paper.figures.items() if self.paper else ():
            if name not in self.figures:
                raise unknown_name("figure of the paper", name, list(self.figures))
            lengths = [len(row) for row in rows]
            if lengths != [len(self.columns)] * len(self.rows):
                raise InputError(
                    f"the paper's {name} has rows of {lengths} values; the grid has "
                    f"{len(self.rows)} rows of {len(self.columns)}"
                )
            if not all(math.isfinite(value) for row in rows for value in row):
                raise InputError(f"the paper's {name} holds values that are no numbers")

    @property
    def rows(self) -> list[Point]:
        """Values of all axes but the last."""
        return list(itertools.product(*list(self.axes.values())[:-1]))

    @property
    def columns(self) -> tuple[Value, ...]:
        """Values of the last axis."""
        return list(self.axes.values())[-1]

    @property
    def points(self) -> list[Point]:
        """Row by row."""
        return [(*row, column) for row in self.rows for column in self.columns]

    @property
    def recipe(self) -> str:
        """The recipe of the runs, or their recipes."""
        return ", ".join(map(str, self.axes.get("recipe", (self.fields.get("recipe", RECIPE),))))

    def override(self, *, seeds: int | None = None, **fields: Value | None) -> Sweep:
        """The sweep with other fields in every run; None leaves one as it is.

        Raises:
            InputError: a field that is an axis, or as for any sweep.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        for name in given:
            if name in self.axes:
                raise InputError(f"{name!r} is an axis of the sweep {self.name!r}; leave it out")
        return replace(self, fields={**self.fields, **given}, seeds=seeds or self.seeds)

    def training(self, point: Point, *, seed: int, data_folder: str | None = None) -> ClassifierRun:
        """The training run at ``point``.

        Raises:
            InputError: it cannot be trained; the message names the point.
        """
        values = dict(zip(self.axes, point, strict=True))
        machine = {"seed": seed, "data_folder": data_folder}
        try:
            return ClassifierRun.from_fields({"recipe": RECIPE, **self.fields, **values, **machine})
        except InputError as error:
            raise InputError(f"at {self.named(point)}: {error}") from None

    def runs(self, folder: Path, *, data_folder: str | None = None) -> dict[tuple[Point, int], Run]:
        """The run at each point and seed, each in its own folder inside ``folder``."""
        return {
            (point, seed): Run(
                folder / f"{self.named(point, '-', '_').replace(' ', '')}_seed-{seed}",
                self.training(point, seed=seed, data_folder=data_folder),
            )
            for seed in range(self.seeds)
            for point in self.points
        }

    def label(self, axis: str, value: Value) -> str:
        """``value`` as tables write it."""
        text = _text(value).upper() if axis == "attention" else _text(value)
        return self.labels.get(axis, f"{axis} = {{}}").replace("{}", text)

    def named(self, point: Sequence[Value], equals: str = " = ", between: str = ", ") -> str:
        """``point`` with the names of its axes."""
        pairs = zip(self.axes, point, strict=False)
        return between.join(f"{axis}{equals}{_text(value)}" for axis, value in pairs)


def _text(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
