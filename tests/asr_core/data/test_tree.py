"""asr_core.data.folder.tree: each file once, under its own name, and nothing from elsewhere."""

import os
from pathlib import Path

import pytest

from asr_core.data.folder import tree
from asr_core.data.folder.tree import files_below
from asr_core.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, two of them in subfolders; hidden ones beside them."""
    folder = tmp_path / "photos"
    for name in ("a.png", "more/b.png", "more/deep/c.png", ".hidden.png", ".cache/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_text("x")
    return folder


def walked(folder: Path) -> tuple[list[str], dict[str, str]]:
    skipped: dict[str, str] = {}

    def skip(path: Path, reason: str) -> None:
        skipped[str(path.relative_to(folder))] = reason

    found = sorted(os.path.relpath(path, folder) for path in files_below(folder, on_skip=skip))
    return found, skipped


FILES = ["a.png", "more/b.png", "more/deep/c.png"]


def test_files_of_all_subfolders(folder: Path) -> None:
    assert walked(folder) == (FILES, {})


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("more/loop", ".."),
        ("more/self", "."),
        ("more/deep/top", "../../../photos"),
        ("again", "more/deep"),
        ("out", "../elsewhere"),
        ("root", "/"),
        ("e.png", "a.png"),
        ("f.png", "../elsewhere/secret.png"),
        ("gone.png", "nowhere"),
        ("itself.png", "itself.png"),
    ],
)
def test_links_are_told_of_and_not_followed(folder: Path, link: str, target: str) -> None:
    (folder / link).symlink_to(target)
    found, skipped = walked(folder)
    assert found == FILES
    assert list(skipped) == [link]
    assert "link" in skipped[link]


def test_a_folder_given_as_a_link_is_one(folder: Path) -> None:
    (folder.parent / "link").symlink_to("photos")
    assert walked(folder.parent / "link") == (FILES, {})


def test_what_is_no_file_is_told_of(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert walked(folder) == (FILES, {"pipe.png": "is not a regular file"})


def test_a_mount_that_loops_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the superuser can mount: a folder that says it is its parent stands for a mount."""
    real = os.stat

    def same(path: object, **options: bool) -> os.stat_result:
        return real(folder if str(path).endswith("deep") else path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tree.os, "stat", same)
    found, skipped = walked(folder)
    assert found == FILES[:2]
    assert list(skipped) == ["more/deep"]


def test_names_that_are_no_text(folder: Path) -> None:
    name = os.fsdecode(b"\xff\n\x1b[31m.png")
    (folder / name).write_text("x")
    assert name in walked(folder)[0]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: cannot list the folder \(No such file"):
        list(files_below(tmp_path / "gone", on_skip=lambda path, reason: None))
