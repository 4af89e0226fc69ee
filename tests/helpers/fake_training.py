"""A stand-in for the Python that trains: it ends at once, well or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from finished import result

FAKE = f"""#!/usr/bin/env bash
# Stands in for Python: records the command, and ends as the run of this seed should.
folder="${{!#}}"
echo "$OMP_NUM_THREADS $*" >>"$RECORD"
case "$*" in
    *"--seed 1 "*) echo "a warning" >&2; echo "robust: error: lr is nan" >&2; exit 2 ;;
    *"--seed 2 "*) kill -KILL $$ ;;
esac
mkdir -p "$folder"
echo '{result(seconds=30)}' >"$folder/result.json"
"""


def fake_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it in the place of Python; returns the file in which it records its commands."""
    fake = folder / "python"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setenv("RECORD", str(folder / "record"))
    return folder / "record"
