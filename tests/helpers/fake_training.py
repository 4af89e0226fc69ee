"""A stand-in for the Python that trains: it ends at once, well or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from finished import result, write_config

from robust.sweep import Run
from robust.training.classifier import ClassifierRun

FAKE = f"""#!/usr/bin/env bash
# Stands in for Python: records the command, and ends as the run of this seed should.
folder="${{!#}}"
echo "$OMP_NUM_THREADS $*" >>"$RECORD"
case "$(grep '"seed"' "$folder/config.json")" in
    *" 1,") echo "a warning" >&2; echo "robust: error: lr is nan" >&2; exit 2 ;;
    *" 2,") kill -KILL $$ ;;
esac
echo '{result(seconds=30)}' >"$folder/result.json"
"""


def some_runs(folder: Path, count: int) -> list[Run]:
    """Runs of the seeds 0, 1, 2, …"""
    return [
        Run(folder / f"run-{seed}", ClassifierRun.from_fields({"seed": seed}))
        for seed in range(count)
    ]


def finish(run: Run, *, seconds: float) -> None:
    """Make up what a finished run leaves."""
    write_config(run.folder, run.training.config)
    (run.folder / "result.json").write_text(result(seconds=seconds))


def fake_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it in the place of Python; returns the file in which it records its commands."""
    fake = folder / "python"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setenv("RECORD", str(folder / "record"))
    return folder / "record"
