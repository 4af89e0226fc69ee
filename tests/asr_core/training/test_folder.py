"""asr_core.training.folder: what a run may write to."""

import json
import os
from pathlib import Path

import pytest
from tiny_classifier import register, run, tiny_config

from asr_core.errors import InputError
from asr_core.saving.files import write_json
from asr_core.training import is_run
from asr_core.training.folder import OURS, RunFolder


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    run(tiny_config(), tmp_path / "run")
    return tmp_path / "run"


def test_a_new_or_an_empty_folder_is_free(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new").check(overwrite=False)
    assert not (tmp_path / "new").exists(), "checking makes nothing"
    RunFolder(tmp_path).check(overwrite=False)


def test_a_finished_run_is_not_run_again_unless_it_is_to_be_overwritten(folder: Path) -> None:
    before = (folder / "fused.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a finished run; choose another folder, or overwri"):
        run(tiny_config(seed=1), folder)
    assert (folder / "fused.safetensors").read_bytes() == before
    (folder / "notes.txt").write_text("mine")
    run(tiny_config(seed=1), folder, overwrite=True)
    assert (folder / "fused.safetensors").read_bytes() != before
    assert (folder / "notes.txt").read_text() == "mine", "other files stay"


def test_overwriting_leaves_nothing_of_the_earlier_run(folder: Path) -> None:
    for name in ("attention.npz", "fused.json"):
        (folder / name).write_bytes(b"of the earlier run")
    run(tiny_config(mode="plain"), folder, overwrite=True)
    names = {"model.safetensors", "model.json"}
    gone = {"model.json", "fused.safetensors", "fused.json", "parity.json", "attention.npz"}
    assert set(os.listdir(folder)) == set(OURS) - gone
    assert names < set(OURS)


def test_other_files_are_not_written_among(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "of another program"})
    with pytest.raises(InputError, match="holds other files; choose another folder, or overwrite"):
        run(tiny_config(), tmp_path)
    assert os.listdir(tmp_path) == ["config.json"]
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "missing")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a file; a run needs a folder"):
            RunFolder(tmp_path / "run").check(overwrite=overwrite)


def test_a_run_is_known_by_its_config(folder: Path) -> None:
    assert is_run(folder)
    assert json.loads((folder / "config.json").read_text())["schema"] == 1
