"""Files in the working folder are not run in the place of installed packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robust.sweep.engine import environment, failure

ROOT = Path(__file__).parents[3]
HANGS = 1200
NAMES = ("torch", "click", "probe")


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose modules leave a mark when they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r})\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return tmp_path / "sprung"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=HANGS
    )


def test_as_a_module_the_program_does_not_look_there(traps: Path) -> None:
    python("-c", "import click")
    assert traps.read_text() == "click", "the trap would spring"
    traps.unlink()
    shown = python("-m", "robust", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "sweep" in shown.stdout
    assert not traps.exists()


def test_what_a_study_starts_does_not_look_there(traps: Path) -> None:
    assert failure([sys.executable, "-m", "probe"]).startswith("exit 1: ")
    assert failure([sys.executable, "-c", "import robust.cli"]) == ""
    assert failure([sys.executable, "-c", "import probe"]).endswith("No module named 'probe'")
    assert not traps.exists()


@pytest.mark.parametrize("there", [True, False])
def test_sources_that_are_not_installed_find_themselves(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(ROOT if there else tmp_path)
    found = environment()
    assert found["PYTHONSAFEPATH"] == "1"
    assert found.get("PYTHONPATH") == (str(ROOT) if there else None)
    assert os.environ.get("PYTHONSAFEPATH") != "1"
