"""asr_core.saving.text_files: plain data, or one error that names file, field and value."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.text_files import (
    DEPTH,
    JSON_BYTES,
    TOML_BYTES,
    check_plain,
    read_json,
    read_toml,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT
VALUES = st.recursive(
    LEAVES | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_json_holds_comes_back(value: Any) -> None:
    path = Path("value.json")
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value


@pytest.fixture(autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@given(st.binary(max_size=40))
def test_any_bytes_are_data_or_an_input_error(data: bytes) -> None:
    for name, read in (("x.json", read_json), ("x.toml", read_toml)):
        Path(name).write_bytes(data)
        try:
            check_plain(read(Path(name)), name)
        except InputError as error:
            named = str(error).startswith(name)
            assert named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [1, nan]", "a.1 is nan"),
        ("a = -inf", "a is -inf"),
        ("[a]\nb = 99999999999999999999", r"a.b is 1.000e\+20 .* 64"),
        ("a = 1979-05-27", "a is '1979-05-27', a date"),
        ("a = 1\na = 2", "not TOML"),
        ("a = " + "[" * 40 + "]" * 40, "a.0.0.0 nested more than 32"),
        ("a = " + "[" * 5000, "nested more than 32"),
        ('a = "\\u0000"', "a is .*no text"),
        ("a = 1\n" * TOML_BYTES, f"larger than {TOML_BYTES} bytes"),
    ],
)
def test_toml_that_is_refused(text: str, message: str) -> None:
    Path("a.toml").write_text(text)
    with pytest.raises(
        InputError, match=f"^a.toml: .*{message}" if "is" not in message else message
    ):
        read_toml("a.toml")


def test_as_deep_as_it_may_be() -> None:
    """The depth is counted, not left to how much of the stack is used already."""
    for depth, holds in ((DEPTH, True), (DEPTH + 1, False), (500, False), (10**5, False)):
        Path("deep.json").write_text("[" * depth + "]" * depth)
        if holds:
            read_json("deep.json")
            continue
        with pytest.raises(CheckpointError, match=r"deep.json.* nested more than 32 levels deep"):
            read_json("deep.json", error=CheckpointError)


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_what_is_no_regular_file_is_not_opened(read: Any) -> None:
    os.mkfifo("pipe")
    os.mkdir("folder")
    for name in ("pipe", "folder", "/dev/zero"):
        with pytest.raises(InputError, match=f"^{name}: no regular file"):
            read(name)
    with pytest.raises(InputError, match=r"^gone: not found"):
        read("gone")
    with pytest.raises(InputError, match="not found"):
        read("null\0")


def test_a_file_that_is_too_large_is_not_taken_in() -> None:
    with Path("large.json").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InputError, match=f"large.json: larger than {JSON_BYTES} bytes"):
        read_json("large.json")
