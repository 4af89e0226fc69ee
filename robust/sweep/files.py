"""Sweeps as TOML files: those that ship, and one's own of the same format.

::

    title = "How many gates a position"
    seeds = 3                        # runs at each point: seeds 0, 1, 2
    figures = ["top1", "top5"]       # of the test split; what the table shows

    [axes]                           # options of `robust train`, with _ for -
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

    [paper]                          # published figures: a list for each row of the table
    about = "ResNet164 on CIFAR100"
    top1 = [[75.36, 75.87, 75.72, 75.22], [75.58, 75.71, 75.45, 74.56]]

Only ``[axes]`` has to be there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.sweep.grid import KINDS, SEEDS, Claim, Paper, Sweep

FOLDER = Path(__file__).parent

_KEYS: dict[str, type] = {
    "title": str, "seeds": int, "figures": list, "axes": dict, "fields": dict, "labels": dict,
    "claims": list, "paper": dict,
}  # fmt: skip
_CLAIM: dict[str, type] = {"say": str, "better": object, "than": list}


def shipped() -> list[str]:
    """Names of the sweeps that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_sweep(name_or_path: str) -> Sweep:
    """A sweep that ships, by its name, or one's own, by its file NAME.toml.

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
        InputError: not TOML, an unknown key, a value of another kind, or what no run can be told;
            the message names the file.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML file: {error}") from None
    try:
        return _sweep(path.stem, found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _sweep(name: str, found: Mapping[str, Any]) -> Sweep:
    _check(found, _KEYS, "key")
    axes = found.get("axes", {})
    for axis, values in axes.items():
        if not isinstance(values, list):
            raise InputError(f"axis {axis!r} is {values!r}; it must be a list of values")
    for axis, label in found.get("labels", {}).items():
        if not isinstance(label, str):
            raise InputError(f"the label of {axis!r} is {label!r}; it must be a text with {{}}")
    return Sweep(
        name=name,
        title=found.get("title", name),
        axes={axis: tuple(map(_value, values)) for axis, values in axes.items()},
        fields={key: _value(value) for key, value in found.get("fields", {}).items()},
        labels=found.get("labels", {}),
        claims=tuple(map(_claim, found.get("claims", []))),
        paper=_paper(found["paper"]) if "paper" in found else None,
        seeds=found.get("seeds", SEEDS),
        figures=tuple(found.get("figures", ["top1"])),
    )


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _claim(found: Any) -> Claim:
    if not isinstance(found, dict):
        raise InputError(f"a claim is {found!r}; it must be a table, [[claims]]")
    _check(found, _CLAIM, "key of a claim")
    if missing := [key for key in _CLAIM if key not in found]:
        raise InputError(f"a claim has no {', '.join(missing)}")
    return Claim(found["say"], _value(found["better"]), tuple(map(_value, found["than"])))


def _paper(found: Mapping[str, Any]) -> Paper:
    figures = {key: rows for key, rows in found.items() if key != "about"}
    for name, rows in figures.items():
        if not isinstance(rows, list) or not all(
            isinstance(row, list) and all(type(value) in (int, float) for value in row)
            for row in rows
        ):
            raise InputError(f"the paper's {name} must be a list of rows of numbers")
    return Paper(
        str(found.get("about", "")),
        {name: tuple(map(tuple, rows)) for name, rows in figures.items()},
    )


def _check(found: Mapping[str, Any], known: Mapping[str, type], kind: str) -> None:
    for key, value in found.items():
        if key not in known:
            raise unknown_name(kind, key, list(known))
        if not isinstance(value, known[key]) or (known[key] is int and isinstance(value, bool)):
            raise InputError(f"{key} is {value!r}; it must be {KINDS[known[key]]}")
