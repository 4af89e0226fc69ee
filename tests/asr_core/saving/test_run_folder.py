"""asr_core.saving.run_folder: who may write to a folder, and which earlier run is the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import save_torch
from asr_core.saving.exclusive import LOCK
from asr_core.saving.run_folder import RunFolder, read_state, require_same


@dataclass(frozen=True)
class Notes(RunFolder):
    """A run that begins with draft.txt and ends with notes.txt."""

    result = "notes.txt"
    replaced = ("notes.txt", "draft.txt")

    @property
    def resumable(self) -> bool:
        return (self.path / "draft.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_or_an_empty_folder_is_free(tmp_path: Path, overwrite: bool) -> None:
    folder = Notes(tmp_path / "new", overwrite)
    folder.check()
    assert not folder.path.exists(), "checking makes nothing"
    folder.path.mkdir()
    with folder.claim():
        assert (folder.path / LOCK).exists()


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (["draft.txt"], True),
        (["notes.txt"], False),
        (["draft.txt", "notes.txt"], False),
        (["other.txt"], False),
    ],
)
def test_only_an_unfinished_run_goes_on(tmp_path: Path, files: list[str], free: bool) -> None:
    for name in files:
        (tmp_path / name).write_text("earlier")
    folder = Notes(tmp_path)
    if free:
        with folder.claim():
            assert (tmp_path / "draft.txt").read_text() == "earlier"
    else:
        with pytest.raises(InputError, match=str(tmp_path)), folder.claim():
            pass
    with Notes(tmp_path, overwrite=True).claim():
        assert not (tmp_path / "notes.txt").exists()
        assert not (tmp_path / "draft.txt").exists()
    assert (tmp_path / "other.txt").exists() == ("other.txt" in files), "others' files stay"


def test_a_folder_that_was_filled_while_it_was_waited_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another run had ended between the first look and the lock."""
    check = RunFolder.check
    looks = []

    def look(self: RunFolder) -> None:
        check(self)
        looks.append(self)
        (tmp_path / "notes.txt").write_text("of another process")

    monkeypatch.setattr(RunFolder, "check", look)
    with pytest.raises(InputError, match="finished"), Notes(tmp_path).claim():
        pass
    assert len(looks) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(InputError, match=f"{tmp_path / 'run'} is a file"):
        Notes(tmp_path / "run", overwrite).check()


@pytest.mark.parametrize(
    ("now", "named"),
    [
        ({"seed": 1}, r"seed \(0, now 1\)"),
        ({"recipe": {"lr": 0.5, "notes": "a"}}, r"recipe\.lr \(0\.1, now 0\.5\)"),
        ({"recipe": None}, r"recipe \(\{.*\}, now None\)"),
        ({"noise": "random"}, r"noise \(None, now 'random'\)"),
        ({"seed": 1, "noise": "random"}, r"seed \(0, now 1\); noise \(None, now 'random'\)"),
    ],
)
def test_another_run_is_refused_by_the_fields_that_differ(now: dict[str, Any], named: str) -> None:
    earlier = {"seed": 0, "recipe": {"lr": 0.1, "notes": "a"}}
    require_same(earlier, {**earlier}, Path("run"))
    with pytest.raises(CheckpointError, match=rf"^run: .*{named}\."):
        require_same(earlier, {**earlier, **now}, Path("run"))
    require_same(earlier, {"seed": 0, "recipe": {"lr": 0.1, "notes": "b"}}, Path("run"),
                 ignored=("recipe.notes",))  # fmt: skip


@pytest.mark.parametrize(
    "state", [[1], {"model": {}}, {"identity": [1]}, {"identity": {"x": float("nan")}}]
)
def test_a_state_that_names_no_run_is_refused(tmp_path: Path, state: Any) -> None:
    save_torch(tmp_path / "last.pt", {"identity": {"seed": 0}, "step": 3})
    assert read_state(tmp_path / "last.pt") == {"identity": {"seed": 0}, "step": 3}
    save_torch(tmp_path / "last.pt", state)
    with pytest.raises(CheckpointError, match=str(tmp_path / "last.pt")):
        read_state(tmp_path / "last.pt")
