"""What was measured, written and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.protocol.scores import Findings, Score, StyleLoss, read_findings

FOUND = Findings(
    [Score("asr", 3, "clean", "", "test", 0.1 + 0.2, 1800)], [StyleLoss(0, "a, b", 0.1, 1 / 3, 0.2)]
)


def test_findings_come_back_to_the_last_digit(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    assert read_findings(tmp_path) == FOUND


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("scores.csv", "1800", "many", r"scores\.csv, line 2: no Score"),
        ("scores.csv", "seed", "seeds", r"scores\.csv, line 2: no Score: 'seed'"),
        ("style.csv", ",0.2", "", r"style\.csv, line 2: no StyleLoss"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, old: str, new: str, words: str) -> None:
    FOUND.write(tmp_path)
    file = tmp_path / name
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(InputError, match=words):
        read_findings(tmp_path)


def test_a_study_that_was_not_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not been measured"):
        read_findings(tmp_path)
