"""asr_core.saving.files: the old file or the whole new one, whatever happens in between."""

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.saving.files import (
    atomic_folder,
    atomic_path,
    drafts,
    remove_draft,
    write_json,
    write_text,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text("old")
    return path


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_new_file_takes_the_place_of_the_old(old: Path) -> None:
    with atomic_path(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old", "nothing is replaced before the block ends"
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == ["run.json"]


def test_the_temporary_file_is_a_hidden_neighbour_with_the_same_suffix(old: Path) -> None:
    with atomic_path(old) as temporary:
        assert temporary.parent == old.parent
        assert temporary.suffix == ".json"
        assert temporary.name.startswith(".")
        assert temporary != old


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "new")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(
    old: Path, failure: type[BaseException]
) -> None:
    def write_half() -> None:
        with atomic_path(old) as temporary:
            temporary.write_text("half of the n")
            raise failure

    with pytest.raises(failure):
        write_half()
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["run.json"]


def test_a_failure_where_no_file_was_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "run.json"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(old, "new")
    assert caught.value.errno == errno.ENOSPC
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["run.json"]


def test_a_really_full_device_keeps_the_old_file(old: Path) -> None:
    """The kernel's own full device stands in for the disk: bytes go out, ENOSPC comes back."""

    def write_until_full() -> None:
        with atomic_path(old) as temporary, Path("/dev/full").open("w") as full:
            temporary.write_text("half")
            full.write("rest")

    with pytest.raises(OSError, match="No space left"):
        write_until_full()
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["run.json"]


def test_data_reach_the_disk_before_the_name(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_text(old, "new")
    assert calls == ["fsync", "replace"]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    ours, plain = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain"))
    assert ours == plain == 0o666 & ~mask
    assert os.umask(mask) == mask, "the process keeps its umask"


def test_a_folder_that_is_a_file_is_an_os_error(old: Path) -> None:
    with pytest.raises(OSError, match=r"run\.json"):
        write_text(old / "below", "x")
    assert old.read_text() == "old"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_back_as_utf8(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, "t"), text)
        assert Path(folder, "t").read_bytes() == text.encode()


@given(json_values)
def test_json_comes_back_equal(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder, "v.json"), value)
        text = Path(folder, "v.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("\n")


@pytest.mark.parametrize("value", [math.nan, math.inf, {"loss": [1.0, -math.inf]}])
def test_json_that_is_not_json_is_refused_and_the_old_file_stays(old: Path, value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(old, value)
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["run.json"]


def test_a_value_json_does_not_know_is_refused(old: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(old, {"path": Path("x")})
    assert old.read_text() == "old"


@pytest.mark.parametrize(
    "name", ["x" * 255, "x" * 250 + ".json", "日" * 83 + ".json", "x." + "y" * 253]
)
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    """The temporary name was longer than its file's, and the system takes 255 bytes."""
    assert len(name.encode()) >= 253
    write_text(tmp_path / name, "new")
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n$\x1b.txt")
    write_text(tmp_path / name, "new")
    assert os.listdir(tmp_path) == [name]


def test_a_folder_comes_whole_and_over_its_own_files_alone(tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    (place / "a").write_text("old")

    def fail() -> None:
        with atomic_folder(place) as draft:
            (draft / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (place / "a").read_text() == "old"
    with atomic_folder(place) as draft:
        (draft / "a").write_text("new")
        assert draft in drafts(tmp_path)
    assert {path.name: path.read_text() for path in place.iterdir()} == {
        "a": "new", "mine.txt": "mine",
    }  # fmt: skip
    assert drafts(tmp_path) == []


def test_a_draft_folder_of_a_killed_process_goes(tmp_path: Path) -> None:
    draft = Path(tempfile.mkdtemp(".parts", ".pictures.draft-", tmp_path))
    (draft / "a").write_text("half")
    assert drafts(tmp_path) == [draft]
    remove_draft(draft)
    remove_draft(draft)
    assert not draft.exists()
