"""scripts/robust and scripts/test: set-up happens once, whole, and out of the way of stdout.

A stand-in for Python takes the place of the real one on PATH: it records what it is asked to make
and install, and breaks off when told to, so that no test downloads anything.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGS = 1200
"""Seconds: a process of its own that takes longer hangs, on any machine."""
TOOLS = [
    *("bash", "cat", "cmp", "cp", "dirname", "env", "grep", "kill", "mkdir", "mv"),
    *("readlink", "rm", "sleep", "tail", "touch"),
]

BASE_PYTHON = f"""#!/usr/bin/env bash
# The Python on PATH: it answers questions about itself, and makes environments.
case "$1" in
    -c) exec {sys.executable} "$@" ;;
    -m)
        echo "venv" >>"$RECORD"
        mkdir -p "$3/bin"
        touch "$3/pip"
        cp "$FAKES/venv-python" "$3/bin/python"
        ;;
esac
"""

VENV_PYTHON = """#!/usr/bin/env bash
# The Python of .venv.
home=$(dirname "$0")
case "$1 $2 $3" in
    "-I -c import pip") [ -e "$home/../pip" ] ;;
    "-m pip install")
        echo "install ${!#}" >>"$RECORD"
        echo "pip has much to say"
        touch "$home/half-installed"
        case "${PIP_DOES:-}" in
            fail) echo "ERROR: no such distribution"; exit 1 ;;
            kill) kill -KILL 0 ;;
            wait) touch "$FAKES/started"; until [ -e "$FAKES/go" ]; do sleep 0.02; done ;;
        esac
        rm "$home/half-installed"
        cp "$FAKES/venv-robust" "$home/robust"
        ;;
    "-I -m robust")
        echo "${*:3}" >>"$RECORD"
        echo "vgg16: as it should be"
        case "${WEIGHTS_DO:-}" in
            fetch) echo "vgg16: from the package registry (64 MB)" >&2 ;;
            fail) echo "robust: error: vgg16 cannot be fetched" >&2; exit 2 ;;
            kill) kill -KILL 0 ;;
        esac
        ;;
    "-m pytest"*) echo "OMP_NUM_THREADS=$OMP_NUM_THREADS in $PWD: $*" ;;
esac
"""

VENV_ROBUST = """#!/usr/bin/env bash
echo "robust ran in $PWD with $#: $*"
"""


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Clone:
    """A copy of the scripts in a repository of its own, and stand-ins to run them with."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.fakes = folder / "fakes"
        self.bin = folder / "bin"
        for each in (self.root, self.fakes, self.bin):
            each.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        self.pyproject = self.root / "pyproject.toml"
        self.pyproject.write_text("[project]\nname = 'x'\n")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is missing"
            (self.bin / tool).symlink_to(found)
        executable(self.fakes / "venv-python", VENV_PYTHON)
        executable(self.fakes / "venv-robust", VENV_ROBUST)
        executable(self.bin / "python3.11", BASE_PYTHON)
        self.record = self.fakes / "record"

    @property
    def done(self) -> list[str]:
        """What was made and installed, in order."""
        root = str(self.root.resolve())
        text = self.record.read_text() if self.record.exists() else ""
        return text.replace(root, "ROOT").splitlines()

    def start(
        self, *command: str, pip: str = "", weights: str = "", cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd or self.root,
            env={
                "PATH": str(self.bin),
                "FAKES": str(self.fakes),
                "RECORD": str(self.record),
                "PIP_DOES": pip,
                "WEIGHTS_DO": weights,
            },
            start_new_session=True,
        )

    def run(
        self, *command: str, pip: str = "", weights: str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, pip=pip, weights=weights, cwd=cwd)
        out, err = process.communicate(timeout=HANGS)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


WEIGHTS = "robust weights get vgg16 lpips-alex lpips-vgg"
INSTALLED = ["venv", "install ROOT"]
MADE = [*INSTALLED, WEIGHTS]


def test_the_first_use_sets_up_and_the_second_only_runs(clone: Clone) -> None:
    first = clone.run("scripts/robust", "attack", "--noise", "two words")
    assert first.returncode == 0
    assert first.stdout == f"robust ran in {clone.root} with 3: attack --noise two words\n"
    assert first.stderr.count("\n") == 1
    assert "pip has much to say" in (clone.root / ".setup.log").read_text()
    second = clone.run("scripts/robust", "list")
    assert (second.stdout, second.stderr) == (f"robust ran in {clone.root} with 1: list\n", "")
    assert clone.done == MADE


def test_a_changed_pyproject_is_installed_into_the_same_venv(clone: Clone) -> None:
    clone.run("scripts/robust")
    clone.pyproject.write_text(clone.pyproject.read_text() + "version = '2'\n")
    result = clone.run("scripts/robust")
    assert result.returncode == 0
    assert "up to date with pyproject.toml" in result.stderr
    assert clone.done == [*MADE, "install ROOT"]


def test_the_tests_get_their_packages_and_arguments(clone: Clone, tmp_path: Path) -> None:
    result = clone.run("scripts/test", "-k", "two words", cwd=tmp_path)
    assert clone.done == ["venv", "install ROOT[test]", WEIGHTS]
    assert result.stdout == (
        f"OMP_NUM_THREADS=1 in {clone.root}: "
        "-m pytest --numprocesses auto --dist worksteal -k two words\n"
    )


def test_running_first_then_testing_adds_the_test_packages(clone: Clone) -> None:
    clone.run("scripts/robust")
    clone.run("scripts/test")
    clone.run("scripts/test")
    clone.run("scripts/robust")
    assert clone.done == [*MADE, "install ROOT[test]"]


def test_a_failure_shows_pips_log_and_is_tried_again(clone: Clone) -> None:
    result = clone.run("scripts/robust", pip="fail")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "ERROR: no such distribution" in result.stderr.splitlines()[-1]
    assert clone.run("scripts/robust").returncode == 0
    assert clone.done == [*INSTALLED, *MADE]


@pytest.mark.parametrize("updating", [False, True])
def test_a_set_up_killed_half_way_is_made_anew(clone: Clone, updating: bool) -> None:
    if updating:
        clone.run("scripts/robust")
        clone.pyproject.write_text("changed")
    before = len(clone.done)
    result = clone.run("scripts/robust", pip="kill")
    assert result.returncode == -signal.SIGKILL
    half = clone.root / ".venv" / "bin" / "half-installed"
    assert half.exists()
    assert clone.run("scripts/robust").returncode == 0
    assert not half.exists()
    assert clone.done[before:] == [*INSTALLED[updating:], *MADE]


def lose_pip(clone: Clone) -> None:
    (clone.root / ".venv" / "pip").unlink()


def lose_python(clone: Clone) -> None:
    python = clone.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("no-longer-there")


@pytest.mark.parametrize("breakage", [lose_pip, lose_python])
def test_a_broken_venv_is_made_anew(clone: Clone, breakage: Callable[[Clone], None]) -> None:
    clone.run("scripts/robust")
    breakage(clone)
    result = clone.run("scripts/robust")
    assert result.returncode == 0
    assert result.stdout.startswith("robust ran")
    assert clone.done == [*MADE, *MADE]


def test_two_at_once_set_up_once(clone: Clone) -> None:
    first = clone.start("scripts/robust", "first", pip="wait")
    while not (clone.fakes / "started").exists():
        assert first.poll() is None
    second = clone.start("scripts/robust", "second", pip="wait")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    (clone.fakes / "go").touch()
    outputs = [process.communicate(timeout=HANGS) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert [out.split()[-1] for out, _ in outputs] == ["first", "second"]
    assert clone.done == MADE


# --- weights --------------------------------------------------------------------------------------


def test_what_is_fetched_is_said_and_stdout_stays_clean(clone: Clone) -> None:
    result = clone.run("scripts/robust", "list", weights="fetch")
    assert result.stdout.startswith("robust ran")
    assert result.stdout.count("\n") == 1
    assert "64 MB" in result.stderr.splitlines()[1]
    assert "as it should be" in (clone.root / ".setup.log").read_text()


@pytest.mark.parametrize("name", ["scripts/robust", "scripts/test"])
def test_without_a_network_set_up_goes_on_and_does_not_ask_again(clone: Clone, name: str) -> None:
    result = clone.run(name, weights="fail")
    assert result.returncode == 0
    assert result.stdout != ""
    last = result.stderr.splitlines()[-1]
    assert "embedded" in last
    assert WEIGHTS in last
    assert clone.run(name, weights="fail").stderr == ""
    clone.pyproject.write_text("changed")
    clone.run(name, weights="fail")
    assert clone.done.count(WEIGHTS) == 1
    assert clone.done[-1].startswith("install")


def test_a_fetching_that_was_killed_is_begun_again_without_the_packages(clone: Clone) -> None:
    assert clone.run("scripts/robust", weights="kill").returncode == -signal.SIGKILL
    assert clone.run("scripts/robust").returncode == 0
    assert clone.run("scripts/robust").stderr == ""
    assert clone.done == [*MADE, WEIGHTS]


def test_a_new_venv_asks_anew(clone: Clone) -> None:
    clone.run("scripts/robust", weights="fail")
    shutil.rmtree(clone.root / ".venv")
    clone.run("scripts/robust")
    assert clone.done == [*MADE, *MADE]


def test_no_python_is_one_line(clone: Clone) -> None:
    (clone.bin / "python3.11").unlink()
    result = clone.run("scripts/robust")
    assert result.returncode == 2
    assert result.stderr.startswith("robust: error: found no Python 3.11 or newer")
    assert result.stderr.count("\n") == 1
    assert not (clone.root / ".venv").exists()


@pytest.mark.parametrize("name", ["scripts/robust", "scripts/test", ".ci/run"])
def test_the_commands_are_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
