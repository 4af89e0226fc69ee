"""robust completion: scripts of the shells, and that bash completes by them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from robust.cli import COMMANDS, main


def script(shell: str) -> str:
    result = CliRunner().invoke(main, ["completion", shell], prog_name="robust")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_robust_for_completions(shell: str) -> None:
    text = script(shell)
    assert f"_ROBUST_COMPLETE={shell}_complete" in text


def test_another_shell_is_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"], prog_name="robust")
    assert result.exit_code == 2
    assert "'tcsh'" in result.stderr
    assert "bash, zsh, fish" in result.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    command = tmp_path / "robust"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m robust "$@"\n')
    command.chmod(0o755)
    lines = {
        "robust att": ["attack"],
        "robust attack --noi": ["--noise"],
        "robust attack --noise c": ["constant"],
        "robust train --attention s": ["se", "spa", "srm"],
        "robust weights g": ["get"],
        "robust ": list(COMMANDS),
    }
    asked = "\n".join(
        f"COMP_WORDS=({line}{' ' + chr(39) * 2 if line.endswith(' ') else ''}); "
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); "
        'eval "$(complete -p robust | sed "s/.*-F \\([^ ]*\\) .*/\\1/") robust"; '
        'echo "${COMPREPLY[*]}"'
        for line in lines
    )
    source = f'eval "$(robust completion bash)"\n{asked}\n'
    done = subprocess.run(
        ["bash", "--norc", "-c", source],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == list(lines.values())
