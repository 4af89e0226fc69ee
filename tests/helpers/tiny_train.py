"""`python -m robust …` in a process of its own, where the tiny networks, recipe and data are known.

Stands in for Python: :func:`python_with_tiny` puts it there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_classifier import OURS, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.data import DATASETS
from asr_core.models import BACKBONES
from robust.cli import main

ROOT = Path(__file__).parents[2]


def python_with_tiny(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `sys.executable` know them, in a script that it writes to ``folder``."""
    script = folder / "python"
    command = f'exec "{sys.executable}" "{__file__}" "$@"'
    script.write_text(f'#!/usr/bin/env bash\nPYTHONPATH="{ROOT}:{ROOT}/tests/helpers" {command}\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


if __name__ == "__main__":
    BACKBONES._entries.update(OURS)
    DATASETS._entries["tiny"] = lambda source: tiny_data()
    asr_core.recipes.load_recipe = lambda name: tiny_recipe()
    main(sys.argv[sys.argv.index("robust") + 1 :])
