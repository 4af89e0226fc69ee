"""robust.cli: quick help, commands imported on use, and every error one line with its exit code."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from asr_core.errors import CheckpointError, InputError, ParityError, TargetError
from robust.cli import COMMANDS, Lazy, LazyGroup, main
from robust.cli.errors import explain, report

HANGS = 1200
"""Seconds: a process of its own that takes longer hangs, on any machine."""
HEAVY = ["torch", "torchvision", "numpy", "scipy", "skimage", "rich", "kornia", "matplotlib", "PIL"]
OURS = ["asr_core", "styletransfer"]


def python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
        env={**os.environ, **env},
    )


@pytest.fixture
def run_raising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[BaseException], Result]:
    """Runs a group whose command ``fail`` raises the given exception."""

    def run(error: BaseException) -> Result:
        @click.command()
        def fail() -> None:
            click.echo("{}")
            raise error

        module = type(sys)("commands_that_fail")
        module.fail = fail  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        group = LazyGroup("robust", lazy={"fail": Lazy(f"{module.__name__}:fail", "Fail.")})
        return CliRunner().invoke(group, ["fail"], prog_name="robust")

    return run


# --- what is imported when ------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["--help", "--version", "no-such-command", "--no-such-option"])
def test_no_heavy_module_is_imported_for(argument: str) -> None:
    script = (
        "import sys\nfrom robust.cli import main\n"
        f"try: main([{argument!r}])\nexcept SystemExit: pass\n"
        "print('modules', *sys.modules)"
    )
    modules = python("-c", script).stdout.rpartition("modules ")[2].split()
    assert "robust.cli" in modules
    loaded = {module.partition(".")[0] for module in modules}
    assert loaded.isdisjoint([*HEAVY, *OURS])


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, robust, robust.cli.errors; print(*sys.modules)"
    modules = python("-c", script).stdout.split()
    assert "robust.cli.errors" in modules
    assert {module.partition(".")[0] for module in modules}.isdisjoint([*HEAVY, *OURS])


def test_a_command_is_imported_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"lazy_{name}.py").write_text(
            f"import click\n@click.command()\ndef {name}():\n    click.echo('{name} ran')\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    lazy = {name: Lazy(f"lazy_{name}:{name}", f"Run {name}.") for name in ("two", "one")}
    group = LazyGroup("robust", lazy=lazy)
    page = CliRunner().invoke(group, ["--help"])
    assert page.output.index("two  Run two.") < page.output.index("one  Run one.")
    assert not {"lazy_one", "lazy_two"} & set(sys.modules)
    result = CliRunner().invoke(group, ["one"])
    assert (result.output, result.exit_code) == ("one ran\n", 0)
    assert "lazy_one" in sys.modules
    assert "lazy_two" not in sys.modules
    monkeypatch.delitem(sys.modules, "lazy_one")


# --- the group ------------------------------------------------------------------------------------


def test_the_help_lists_every_command() -> None:
    page = CliRunner().invoke(main, ["--help"])
    assert page.exit_code == 0
    for name, command in COMMANDS.items():
        assert name in page.output
        assert " ".join(command.help.split()) in " ".join(page.output.split())


@pytest.mark.parametrize("name", ["attack", "stylize", "train", "list"])
def test_the_table_has_the_commands(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_help_options(option: str) -> None:
    assert CliRunner().invoke(main, [option]).output.startswith("Usage: ")


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"robust {metadata.version('robust-asr')}\n"


def test_no_command_shows_the_help() -> None:
    result = CliRunner().invoke(main, [])
    assert "Commands:" in result.output
    assert result.exit_code == 2


def test_an_unknown_command_lists_the_known() -> None:
    result = CliRunner().invoke(main, ["atack"], prog_name="robust")
    assert result.exit_code == 2
    assert result.stderr == (
        "robust: error: unknown command 'atack'. Did you mean 'attack'? "
        "Known: attack, stylize, train, evaluate, inspect, fuse, export, freeze, stripes, bench, "
        "sweep, data, study, power, report, weights, recipes, list, doctor, "
        "completion (see `robust --help`)\n"
    )
    assert result.stdout == ""


def test_an_unknown_option_is_one_line() -> None:
    result = CliRunner().invoke(main, ["--bogus", "attack"], prog_name="robust")
    assert result.exit_code == 2
    assert result.stderr.startswith("robust: error: No such option '--bogus'")
    assert result.stderr.count("\n") == 1


def test_a_wrong_choice_lists_the_known_and_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @click.command()
    @click.option("--noise", type=click.Choice(["batch", "constant"]))
    def attack(noise: str) -> None: ...

    module = type(sys)("commands_with_choice")
    module.attack = attack  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    group = LazyGroup("robust", lazy={"attack": Lazy(f"{module.__name__}:attack", "Attack.")})
    result = CliRunner().invoke(group, ["attack", "--noise", "white"], prog_name="robust")
    assert result.exit_code == 2
    assert "'batch', 'constant'" in result.stderr
    assert result.stderr.endswith("(see `robust attack --help`)\n")
    assert result.stderr.count("\n") == 1


def test_python_m_robust_is_the_same_command() -> None:
    result = python("-m", "robust", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: robust [OPTIONS] COMMAND")


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_what_the_command_asks_for_not_what_it_returns(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    @click.command()
    def work() -> int:
        if code:
            click.get_current_context().exit(code)
        return 7

    module = type(sys)("commands_that_return")
    module.work = work  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    group = LazyGroup("robust", lazy={"work": Lazy(f"{module.__name__}:work", "Work.")})
    assert CliRunner().invoke(group, ["work"]).exit_code == code


def test_without_standalone_mode_exceptions_are_the_callers() -> None:
    with pytest.raises(click.UsageError, match="unknown command 'xyz'"):
        main.main(["xyz"], standalone_mode=False)


# --- errors ---------------------------------------------------------------------------------------

ERRORS = [
    (InputError("severity -1 is out of range"), 2, "error: severity -1 is out of range"),
    (TargetError("'layerr' matches nothing"), 2, "error: 'layerr' matches nothing"),
    (CheckpointError("x.pt: a pickle"), 2, "error: x.pt: a pickle"),
    (ParityError("outputs differ by 0.1"), 1, "error: outputs differ by 0.1"),
    (InputError("two\n  lines"), 2, "error: two lines"),
    (
        click.BadParameter("too big."),
        2,
        "error: Invalid value: too big (see `robust fail --help`)",
    ),
    (click.ClickException("no"), 2, "error: no"),
    (
        PermissionError(errno.EACCES, "Permission denied", "/out/grid.png"),
        2,
        "error: permission denied: /out/grid.png",
    ),
    (
        FileNotFoundError(errno.ENOENT, "No such file or directory", b"/out"),
        2,
        "error: no such file or directory: /out",
    ),
    (OSError("libfoo.so: cannot open"), 2, "error: libfoo.so: cannot open"),
    (
        OSError(errno.ENOSPC, "No space left on device", "/out/grid.png"),
        2,
        "error: no space left on the disk: /out/grid.png; free some and run again",
    ),
    (
        RuntimeError("I/O error: No space left on device (os error 28)"),
        2,
        "error: no space left on the disk; free some and run again",
    ),
    (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
        2,
        "error: out of memory; try a smaller --size or --batch-size",
    ),
    (MemoryError(), 2, "error: out of memory; try a smaller --size or --batch-size"),
    (
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        2,
        "error: out of memory; try a smaller --size or --batch-size",
    ),
    (KeyboardInterrupt(), 130, "interrupted"),
    (KeyboardInterrupt("kept 3 results in out/"), 130, "interrupted; kept 3 results in out/"),
    (
        ZeroDivisionError("division by zero"),
        1,
        "internal error: ZeroDivisionError: division by zero "
        "(a defect of robust; ROBUST_TRACEBACK=1 shows where)",
    ),
    (
        ValueError("not ours"),
        1,
        "internal error: ValueError: not ours (a defect of robust; ROBUST_TRACEBACK=1 shows where)",
    ),
]


@pytest.mark.parametrize(("error", "code", "line"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_is_one_line_and_an_exit_code(
    run_raising: Callable[[BaseException], Result], error: BaseException, code: int, line: str
) -> None:
    result = run_raising(error)
    assert result.exit_code == code
    assert result.stderr.lstrip("\n") == f"robust: {line}\n"
    assert json.loads(result.stdout) == {}, "stdout holds what the command wrote, nothing else"


def test_notes_on_an_interrupt_are_told(run_raising: Callable[[BaseException], Result]) -> None:
    interrupt = KeyboardInterrupt()
    interrupt.__notes__ = ["kept 3 of 8 results in out/"]  # what add_note does, from Python 3.11 on
    result = run_raising(interrupt)
    assert result.stderr.strip() == "robust: interrupted; kept 3 of 8 results in out/"
    assert result.exit_code == 130


def test_an_end_of_input_is_no_traceback(run_raising: Callable[[BaseException], Result]) -> None:
    result = run_raising(EOFError())
    assert result.stderr.strip() == "robust: interrupted"
    assert result.exit_code == 130


def test_an_exit_from_within_keeps_its_code(run_raising: Callable[[BaseException], Result]) -> None:
    assert run_raising(SystemExit(5)).exit_code == 5


def test_the_traceback_is_shown_on_request(
    run_raising: Callable[[BaseException], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = InputError("bad")
    monkeypatch.setenv("ROBUST_TRACEBACK", "1")
    assert run_raising(error).exception is error
    monkeypatch.setenv("ROBUST_TRACEBACK", "0")
    assert isinstance(run_raising(error).exception, SystemExit)


def test_the_report_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(InputError("bad")) == 2
    assert capsys.readouterr() == ("", "robust: error: bad\n")


def test_a_class_of_the_same_name_from_elsewhere_is_not_ours() -> None:
    other = type("InputError", (ValueError,), {})
    assert explain(other("x"))[1] == 1
    assert explain(InputError("x"))[1] == 2


def test_errors_are_told_before_asr_core_is_imported() -> None:
    script = (
        "import sys\nfrom robust.cli.errors import explain\n"
        "assert 'asr_core' not in sys.modules\n"
        "print(explain(ValueError('x')), 'asr_core' in sys.modules)"
    )
    assert python("-c", script).stdout.startswith("('internal error: ValueError: x")
    assert python("-c", script).stdout.endswith("False\n")


def test_no_traceback_reaches_a_real_terminal(tmp_path: Path) -> None:
    """The whole way: a process, its stderr and its exit code."""
    (tmp_path / "failing.py").write_text(
        "import click\n"
        "from asr_core.errors import InputError\n"
        "@click.command()\n"
        "def fail():\n"
        "    raise InputError('size must be at least 1, got 0')\n"
    )
    script = (
        "import robust.cli as cli\n"
        "cli.COMMANDS['fail'] = cli.Lazy('failing:fail', 'Fail.')\n"
        "cli.main(['fail'])\n"
    )
    result = python("-c", script, PYTHONPATH=str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == "robust: error: size must be at least 1, got 0\n"


def test_torch_words_a_refused_allocation_on_the_cpu_as_we_read_it() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert explain(raised.value) == (
        "error: out of memory; try a smaller --size or --batch-size",
        2,
    )
