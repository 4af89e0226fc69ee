"""robust.style.folder: whole files or none, and nothing of the user's is touched."""

import errno
from pathlib import Path

import pytest
from PIL import Image

from asr_core.errors import InputError
from robust.style.folder import METRICS, RunFolder


def test_a_used_folder_is_refused_and_overwriting_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already; choose another --out, or --overwrite"):
        RunFolder(tmp_path)
    folder = RunFolder(tmp_path, overwrite=True)
    with folder.measurements() as file:
        file.write("a,b\n")
    folder.write_summary({"x": 1})
    folder.write_grid(Image.new("RGB", (4, 4)))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / METRICS).read_text() == "a,b\n"


def test_an_empty_folder_may_be_used_and_a_file_may_not(tmp_path: Path) -> None:
    RunFolder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; --out names a folder"):
        RunFolder(tmp_path / "file", overwrite=True)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failed_run_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        folder = RunFolder(tmp_path / "new")
        with folder.held(), folder.measurements() as file:
            file.write("half a li")
            assert any((tmp_path / "new").iterdir())
            raise error

    with pytest.raises(type(error)):
        fail()
    assert not (tmp_path / "new").exists()


def test_a_failed_overwrite_keeps_the_earlier_run(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").measurements() as file:
        file.write("first")

    def fail() -> None:
        with RunFolder(tmp_path / "run", overwrite=True).measurements() as file:
            file.write("second")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [METRICS]
    assert (tmp_path / "run" / METRICS).read_text() == "first"
