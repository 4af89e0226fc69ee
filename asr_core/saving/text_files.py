"""Reading JSON and TOML from any source: plain data, or one error that says what is wrong."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asr_core.errors import InputError

JSON_BYTES = 64 * 2**20
TOML_BYTES = 2**14
"""Less than for JSON: tomllib takes seconds where a key has thousands of dots."""
DEPTH = 32
"""Most levels of nested lists and tables."""
LARGEST = 2**63


def read_json(path: Path | str, *, error: type[InputError] = InputError) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: or ``error``: not a regular file, larger than ``JSON_BYTES``, not UTF-8, not
            JSON, or as :func:`parse_json`.
        OSError: the file cannot be read.
    """
    return parse_json(_read(Path(path), JSON_BYTES, error), str(path), error=error)


def read_toml(path: Path | str) -> dict[str, Any]:
    """The content of a TOML file; the errors are those of :func:`read_json`."""
    text = _read(Path(path), TOML_BYTES, InputError)
    table: dict[str, Any] = _parsed(tomllib.loads, text, f"{path}: not TOML", InputError)
    check_plain(table, str(path))
    return table


def parse_json(text: str, where: str, *, error: type[InputError] = InputError) -> Any:
    """The value of a JSON text.

    Raises:
        InputError: or ``error``, beginning with ``where``: not JSON, a name twice in an object, or
            as :func:`check_plain`.
    """

    def loads(text: str) -> Any:
        return json.loads(text, object_pairs_hook=_unique)

    value = _parsed(loads, text, f"{where}: not JSON", error)
    check_plain(value, where, error=error)
    return value


def check_plain(value: Any, where: str, *, error: type[InputError] = InputError) -> None:
    """Refuse data that JSON cannot hold, or that is deeper or larger than any of ours.

    Raises:
        InputError: or ``error``, beginning with ``where``: lists and tables nested more than
            ``DEPTH`` deep, a number that is not finite or not of 64 bits, text that UTF-8 cannot
            hold or with a NUL, or a value of another kind (a TOML date).
    """
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        each, place = waiting.pop()
        problem = _problem(each)
        if len(place) >= DEPTH:
            problem = f"nested more than {DEPTH} levels deep"
        if problem:
            field = ".".join(map(str, place[:4]))
            raise error(f"{where}: {field} {problem}" if field else f"{where}: it {problem}")
        if isinstance(each, dict):
            waiting += [(part, (*place, name)) for name, part in each.items()]
            waiting += [(name, place) for name in each]
            if odd := [name for name in each if not isinstance(name, str)]:
                raise error(f"{where}: a table has the name {odd[0]!r}, which is no text")
        elif isinstance(each, list | tuple):
            waiting += [(part, (*place, index)) for index, part in enumerate(each)]


def _problem(value: Any) -> str:
    """What is wrong with a single value, following the name of its field; or ""."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value}; it must be a finite number"
    if isinstance(value, int):
        if -LARGEST <= value < LARGEST:
            return ""
        bits = value.bit_length()  # Python does not print the digits of huge ones
        return f"is {f'{value:.3e}' if bits < 1000 else ''} of {bits} bits, of at most 64"
    if isinstance(value, str):
        held = "\0" not in value and value == value.encode("utf-8", "replace").decode("utf-8")
        return "" if held else f"is {value[:40]!r}, which is no text"
    if value is None or isinstance(value, dict | list | tuple):
        return ""
    return f"is {str(value)[:40]!r}, a {type(value).__name__}, which JSON does not have"


def _read(path: Path, limit: int, error: type[InputError]) -> str:
    if not path.is_file():  # opening a named pipe could block for ever
        raise error(f"{path}: {'no regular file' if path.exists() else 'not found'}")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise error(f"{path}: larger than {limit} bytes, the most that is read")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as reason:
        raise error(f"{path}: not UTF-8 text ({reason})") from None


def _parsed(loads: Callable[[str], Any], text: str, where: str, error: type[InputError]) -> Any:
    try:
        return loads(text)
    except RecursionError:
        raise error(f"{where}, nested more than {DEPTH} levels deep") from None
    except ValueError as reason:
        raise error(f"{where} ({reason})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return unique
