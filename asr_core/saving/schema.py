"""Checks of data that is read: its fields, their types and ranges.

:func:`record` makes a dataclass check its fields by their annotations, with pydantic: strict types
(no text for a number, no boolean for a whole number), finite numbers, no unknown fields.
:func:`parse` makes one from plain data.

::

    @record
    @dataclass(frozen=True)
    class Step:
        lr: Annotated[Number, Field(gt=0)]
        milestones: Several[Number] = ()
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from functools import cache, wraps
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

from pydantic import ConfigDict, Field, PlainValidator, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.text_files import check_plain

T = TypeVar("T")

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_WORDS = {
    "Input should": "it must",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid dictionary": "a table",
    "an object": "a table",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it must be a number")
    if not abs(value) <= limits.FLOAT:
        raise ValueError("it must be a finite number, as float32 holds them")
    return value


Number = Annotated[float, PlainValidator(_number)]
"""A finite number, int or float, which keeps its type."""
Several = Annotated[tuple[T, ...], Strict(False)]
"""A tuple, which may be given as a list."""
Seed = Annotated[int, Field(ge=-limits.SEED, le=limits.SEED)]
Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]


def record(cls: type[T]) -> type[T]:
    """A dataclass whose constructor checks the fields by their annotations, before __post_init__.

    The constructor raises:
        InputError: naming the first wrong field, its value, and what it must be.
    """
    frozen = cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    checked: Any = pydantic_dataclass(cls, config=_CONFIG, frozen=frozen)
    checked.__doc__ = cls.__doc__
    construct = checked.__init__

    @wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            construct(self, *args, **kwargs)
        except ValidationError as error:
            raise InputError(_said(error, cls)) from None

    checked.__init__ = __init__
    made: type[T] = checked
    return made


def parse(
    kind: type[T],
    value: Any,
    *,
    where: str = "",
    error: type[InputError] = InputError,
    complete: bool = False,
) -> T:
    """A ``kind`` from plain data, as in JSON or TOML.

    Args:
        kind: a :func:`record`, or any type that pydantic knows.
        value: mappings, lists, texts, numbers.
        where: the start of messages, such as the file.
        error: the kind of error to raise.
        complete: whether fields with a default must be given too.

    Raises:
        InputError: or ``error``: naming the first wrong field, its value, and what it must be.
    """
    start = f"{where}: " if where else ""
    check_plain(value, where or kind.__name__, error=error)
    if complete and isinstance(value, Mapping):
        names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        if missing := [name for name in names if name not in value]:
            raise error(f"{start}missing: {', '.join(missing)}")
    try:
        # As JSON, because a strict check of Python objects takes no mapping for a record.
        made: T = _adapter(cast(Any, kind)).validate_json(json.dumps(value))
        return made
    except ValidationError as problem:
        raise error(start + _said(problem, kind)) from None


def parse_fields(
    kind: type[T], value: Any, *, where: str, error: type[InputError] = InputError
) -> T:
    """:func:`parse` for a mapping with tensors or other objects that JSON cannot hold."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise error(f"{where}: {_SHORT.repr(value)} is no mapping of named fields")
    try:
        return kind(**value)
    except InputError as problem:
        raise error(f"{where}: {problem}") from None


class PlainRecord:
    """Base class of records that become JSON-able data and are read back."""

    _read: ClassVar[dict[str, Any]] = {}
    """Further arguments of :func:`parse`."""

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON-able data, which :meth:`from_dict` reads."""
        data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(cast(Any, self))))
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The record that :meth:`as_dict` gave; the errors are those of :func:`parse`."""
        return parse(cls, data, **cls._read)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    if dataclasses.is_dataclass(kind):
        return TypeAdapter(kind)
    return TypeAdapter(kind, config=_CONFIG)


def _said(error: ValidationError, kind: Any) -> str:
    """The first problem in one line, and how many more there are."""
    problems = error.errors(include_url=False)
    first, *more = sorted(problems, key=lambda each: each["type"] not in _UNKNOWN)
    start, *inside = first["loc"] or ("",)
    if isinstance(start, int) and dataclasses.is_dataclass(kind):  # a positional argument
        start = dataclasses.fields(kind)[start].name
    field = ".".join(map(str, (start, *inside)))
    cause = first.get("ctx", {}).get("error")
    reason = str(cause) if cause else first["msg"]
    for theirs, ours in _WORDS.items():
        reason = reason.replace(theirs, ours)
    if first["type"] in _UNKNOWN:
        known = [f.name for f in dataclasses.fields(kind)] if not inside else []
        text = str(unknown_name("field", field, known)) if known else f"unknown field {field!r}"
    elif first["type"] == "missing":
        missing = [".".join(map(str, e["loc"])) for e in problems if e["type"] == "missing"]
        return f"missing: {', '.join(missing)}"
    elif isinstance(cause, InputError):
        text = f"{field}: {reason}" if field else reason
    else:
        text = f"{field or 'it'} is {_SHORT.repr(first['input'])}; {reason}"
    return f"{text} (and {len(more)} more)" if more else text
