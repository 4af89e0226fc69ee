"""robust.suites.results: the JSON of a model and suite, and the bits in it."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from robust.suites import CLEAN, Condition, Outcome, SuiteResult, load_result
from robust.suites.results import from_dict, packed, unpacked


def outcome(condition: Condition, *right: int, loss: float = 0.5) -> Outcome:
    correct = torch.tensor(right, dtype=torch.bool)
    top5 = 1.0 if condition == CLEAN else None
    return Outcome(condition, correct.double().mean().item(), loss, correct, 0.25, top5)


def result(**meta: Any) -> SuiteResult:
    fog = [Condition("fog", 3, repeat) for repeat in (0, 1)]
    outcomes = (
        outcome(CLEAN, 1, 1, 1, 0, 1),
        outcome(fog[0], 1, 0, 1, 0, 0),
        outcome(fog[1], 1, 0, 0, 0, 1, loss=math.inf),
    )
    return SuiteResult("weather", {"name": "net", **meta}, {"seed": 0}, outcomes)


def test_bits_are_eight_a_byte_the_first_one_highest() -> None:
    bits = torch.tensor([1, 0, 0, 0, 0, 0, 1, 1, 1], dtype=torch.bool)
    assert base64.b64decode(packed(bits)) == bytes([0b10000011, 0b10000000])


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_bits_come_back(bits: list[bool]) -> None:
    text = packed(torch.tensor(bits))
    assert unpacked(text, len(bits)).tolist() == bits
    assert len(base64.b64decode(text)) == (len(bits) + 7) // 8


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    first = result(seed=4)
    first.save(tmp_path / "net-weather.json")
    second = load_result(tmp_path / "net-weather.json")
    assert second.as_dict()["conditions"][:2] == first.as_dict()["conditions"][:2]
    assert (second.suite, second.meta, second.settings) == (
        first.suite, first.meta, first.settings
    )  # fmt: skip
    for one, other in zip(first.outcomes, second.outcomes, strict=True):
        assert torch.equal(one.correct, other.correct)
        assert one.condition == other.condition
    assert math.isnan(second.outcomes[2].loss), "JSON knows no infinity"


def test_the_file_has_what_a_reader_needs(tmp_path: Path) -> None:
    result().save(tmp_path / "r.json")
    said = json.loads((tmp_path / "r.json").read_text())
    assert (said["schema"], said["suite"], said["n"]) == (1, "weather", 5)
    fog = said["conditions"][1]
    assert fog["kind"] == "fog"
    assert fog["severity"] == 3
    assert fog["statistics"] == "running"
    assert fog["top1"] == 0.4
    assert fog["error"] == 0.6
    assert said["conditions"][0]["top5"] == 1


def test_repeats_are_averaged_sample_by_sample() -> None:
    assert result().share_right(Condition("fog", 3)).tolist() == [1, 0, 0.5, 0, 0.5]
    with pytest.raises(InputError, match="weather has no rain 2"):
        result().of(Condition("rain", 2))


def changed(**values: Any) -> dict[str, Any]:
    return {**result().as_dict(), **values}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(schema=2), "schema is 2"),
        (changed(colour="red"), "unknown field 'colour'"),
        (changed(meta={"name": 3}), "meta.name is 3"),
        (changed(n=10**30), "n is 1.000e\\+30"),
        (changed(n=9), "cannot hold 9 bits"),
        (changed(conditions=[]), "does not begin with the clean outcome"),
        (changed(conditions=result().as_dict()["conditions"][1:]), "does not begin with the clean"),
    ],
)
def test_what_is_no_result_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_dict(data)


def test_bits_that_contradict_the_accuracy_are_found() -> None:
    data = result().as_dict()
    data["conditions"][0]["top1"] = 0.9
    with pytest.raises(InputError, match=r"clean: top-1 0.9 is not that of its samples"):
        from_dict(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not the result of a suite"),
        ('{"schema": 1}', "not the result of a suite"),
        (None, "not found"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=rf"r\.json: {message}"):
        load_result(tmp_path / "r.json")


def test_text_that_is_no_base64_is_refused() -> None:
    with pytest.raises(InputError, match="no base64"):
        unpacked("?!", 5)
