"""robust.style.folder: whole files or none, and nothing of the user's is touched."""

import errno
from pathlib import Path

import pytest
from PIL import Image

from asr_core.errors import InputError
from robust.style.folder import METRICS, AttackFolder


def test_a_used_folder_is_refused_and_overwriting_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=str(tmp_path)):
        AttackFolder(tmp_path).check()
    folder = AttackFolder(tmp_path, overwrite=True)
    with folder.claim():
        with folder.measurements() as file:
            file.write("a,b\n")
        folder.write({"x": 1}, {}, Image.new("RGB", (4, 4)))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / METRICS).read_text() == "a,b\n"
    with pytest.raises(InputError, match="finished"):
        AttackFolder(tmp_path).check()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failed_run_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        folder = AttackFolder(tmp_path / "new")
        with folder.claim(), folder.measurements() as file:
            file.write("half a li")
            assert any((tmp_path / "new").iterdir())
            raise error

    with pytest.raises(type(error)):
        fail()
    assert not (tmp_path / "new").exists()


def test_a_failed_overwrite_keeps_the_earlier_run(tmp_path: Path) -> None:
    with AttackFolder(tmp_path / "run").measurements() as file:
        file.write("first")

    def fail() -> None:
        with AttackFolder(tmp_path / "run", overwrite=True).measurements() as file:
            file.write("second")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [METRICS]
    assert (tmp_path / "run" / METRICS).read_text() == "first"
