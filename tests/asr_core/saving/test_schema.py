"""asr_core.saving.schema: records check themselves, and say what is wrong in a line."""

from __future__ import annotations

import copy
import dataclasses
import math
import multiprocessing
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import Tensor

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.schema import Name, Number, PlainRecord, Several, parse, parse_fields, record


@record
@dataclass(frozen=True)
class Inner:
    """Of an outer one."""

    rate: Annotated[Number, Field(gt=0)]
    steps: Several[Number] = ()

    def __post_init__(self) -> None:
        if self.rate == 13:
            raise InputError(f"rate {self.rate} brings bad luck")


@record
@dataclass(frozen=True)
class Outer(PlainRecord):
    """With an inner one."""

    name: Name
    inner: Inner
    count: Annotated[int, Field(ge=1, le=9)] = 1
    flag: bool = False
    more: dict[str, Number] = field(default_factory=dict)


GOOD: dict[str, Any] = {"name": "a", "inner": {"rate": 1, "steps": [1, 2.5]}, "count": 3}


def test_plain_data_becomes_a_record_and_comes_back() -> None:
    found = parse(Outer, GOOD)
    assert found == Outer("a", Inner(1, (1, 2.5)), 3)
    assert type(found.inner.rate) is int, "a number keeps its type"
    assert found.as_dict() == {**GOOD, "flag": False, "more": {}}
    assert Outer.from_dict(found.as_dict()) == parse(Outer, found.as_dict(), complete=True) == found
    assert copy.deepcopy(found) == found
    ours, theirs = multiprocessing.Pipe()
    ours.send(found)
    assert theirs.recv() == found, "worker processes get it so"
    assert dataclasses.replace(found, count=4).count == 4
    assert Outer.__doc__ == "With an inner one."
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.count = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": True}, "count is True; it must be a whole number"),
        ({"count": 1.0}, "count is 1.0;"),
        ({"count": "1"}, "count is '1';"),
        ({"count": 0}, "count is 0; .* 1$"),
        ({"count": 10}, "count is 10; .* 9$"),
        ({"count": 10**26}, "count is 1.000e\\+26 .* 64"),
        ({"name": ""}, "name is ''"),
        ({"name": "x" * 5000}, "name is 'xxx.* 4096"),
        ({"name": None}, "name is None"),
        ({"flag": 1}, "flag is 1; it must be true or false"),
        ({"inner": 5}, "inner is 5"),
        ({"inner": {}}, "missing: inner.rate"),
        ({"inner": {"rate": -1}}, "inner.rate is -1; .* 0$"),
        ({"inner": {"rate": math.nan}}, "inner.rate is nan"),
        ({"inner": {"rate": "1"}}, "inner.rate is '1'; it must be a number"),
        ({"inner": {"rate": True}}, "inner.rate is True"),
        ({"inner": {"rate": 13}}, "inner: rate 13 brings bad luck"),
        ({"inner": {"rate": 1, "steps": "12"}}, "inner.steps is '12'; it must be a list"),
        ({"inner": {"rate": 1, "steps": [1, None]}}, "inner.steps.1 is None"),
        ({"inner": {"rate": 1, "raet": 2}}, "unknown field 'inner.raet'"),
        (
            {"cuont": 3, "count": 0},
            "unknown field 'cuont'. Did you mean 'count'.* \\(and 1 more\\)",
        ),
        ({"more": {"a": [1]}}, r"more.a is \[1\]"),
    ],
)
def test_what_is_wrong_is_told_with_its_field_and_value(changes: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"^file.json: {message}"):
        parse(Outer, {**GOOD, **changes}, where="file.json", error=CheckpointError)


def test_the_constructor_says_the_same() -> None:
    with pytest.raises(InputError, match=r"^count is 0;"):
        Outer("a", Inner(1), 0)
    with pytest.raises(InputError, match=r"^rate is inf;"):
        Inner(math.inf)
    with pytest.raises(InputError, match="brings bad luck"):
        Inner(13)
    with pytest.raises(InputError, match=r"inner is \{'rate': 1\}"):
        Outer("a", {"rate": 1})  # type: ignore[arg-type]


def test_what_was_written_whole_is_read_whole() -> None:
    assert parse(Outer, GOOD).flag is False
    with pytest.raises(InputError, match="missing: flag, more"):
        parse(Outer, GOOD, complete=True)


@record
@dataclass(frozen=True)
class State:
    """With tensors."""

    weights: dict[str, Tensor]


def test_tensors_are_told_from_others() -> None:
    weights = {"w": torch.ones(2)}
    assert parse_fields(State, {"weights": weights}, where="x").weights["w"] is weights["w"]
    for wrong in ({"weights": {"w": [1.0]}}, {"weights": 1}, {}, {"other": 1}, [1], {3: 1}, None):
        with pytest.raises(CheckpointError, match=r"^last\.pt: "):
            parse_fields(State, wrong, where="last.pt", error=CheckpointError)
