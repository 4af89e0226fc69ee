"""Sweeps as TOML files: those that ship, and the user's own.

::

    title = "How many gates a position"
    seeds = 3                        # runs at each point: seeds 0, 1, 2
    figures = ["top1", "top5"]       # of the test split; what the table shows

    [axes]                           # fields of a run file
    attention = ["se", "ie"]
    delta = [1, 2, 3, 4]             # the last one makes the columns, the others the rows

    [fields]                         # the same in every run
    recipe = "resnet11-embedded"

    [labels]                         # how the table writes a value
    attention = "ASR({})"

    [[claims]]                       # answered by paired differences over seeds
    say = "a second gate helps"
    better = 2
    than = [1]
    note = "δ gates also start lower"   # what else differs; optional

    [paper]                          # published figures: a list for each row of the table
    about = "ResNet164 on CIFAR100"
    top1 = [[75.36, 75.87, 75.72, 75.22], [75.58, 75.71, 75.45, 74.56]]

Only ``[axes]`` is required.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.schema import Number, Several, Text, parse, record
from asr_core.saving.text_files import read_toml
from robust.sweep.grid import SEEDS, Claim, Paper, Sweep

FOLDER = Path(__file__).parent


_Value = str | bool | int | float | tuple[Number, ...]


@record
@dataclass(frozen=True, kw_only=True)
class _Claim:
    """A ``[[claims]]`` table."""

    say: Text
    better: _Value
    than: list[_Value]
    note: Text = ""


@record
@dataclass(frozen=True, kw_only=True)
class _File:
    """The fields of a file."""

    title: Text | None = None
    seeds: Annotated[int, Field(ge=1, le=limits.RUNS)] = SEEDS
    figures: Several[Text] = ("top1",)
    axes: dict[str, Several[_Value]] = field(default_factory=dict)
    fields: dict[str, _Value] = field(default_factory=dict)
    labels: dict[str, Text] = field(default_factory=dict)
    claims: list[_Claim] = field(default_factory=list)
    paper: dict[str, Any] | None = None


def shipped() -> list[str]:
    """Names of the sweeps that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_sweep(name_or_path: str) -> Sweep:
    """A shipped sweep by its name, or the user's by its file NAME.toml.

    Raises:
        InputError: neither; the message lists the names. Or as :func:`read_sweep`.
    """
    if name_or_path in shipped():
        return read_sweep(FOLDER / f"{name_or_path}.toml")
    if not Path(name_or_path).is_file():
        raise InputError(
            f"{unknown_name('sweep', name_or_path, shipped())}; nor is there such a file"
        )
    return read_sweep(Path(name_or_path))


def read_sweep(path: Path) -> Sweep:
    """The sweep in a TOML file.

    Raises:
        InputError: not TOML, an unknown key, or a value that no run can have;
            the message names the file.
    """
    file = parse(_File, read_toml(path), where=str(path))
    try:
        return Sweep(
            name=path.stem,
            title=path.stem if file.title is None else file.title,
            axes=file.axes,
            fields=file.fields,
            labels=file.labels,
            claims=tuple(
                Claim(each.say, each.better, tuple(each.than), each.note) for each in file.claims
            ),
            paper=None if file.paper is None else _paper(file.paper),
            seeds=file.seeds,
            figures=file.figures,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _paper(said: Mapping[str, Any]) -> Paper:
    figures = {name: rows for name, rows in said.items() if name != "about"}
    rows = parse(dict[str, tuple[tuple[Number, ...], ...]], figures, where="paper")
    return Paper(parse(str, said.get("about", ""), where="paper.about"), rows)
