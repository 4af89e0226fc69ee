"""asr_core.training.history: sums of an epoch, and its row."""

import csv
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import load_torch, save_torch
from asr_core.training.history import COLUMNS, History
from asr_core.training.learner import Figures

VALIDATION = {"loss": 0.5, "top1": 0.75, "top5": 1.0}


def ended(history: History, top1: float = 0.75) -> History:
    history.add(Figures(8.0, 2.0, 3.0, 0.0), images=4, seconds=0.5)
    history.end_epoch(lr=0.1, validation={**VALIDATION, "top1": top1}, validation_seconds=0.25)
    return history


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 1e6), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9
    )
)
def test_a_row_holds_means_over_the_images(steps: list[tuple[float, int, int]]) -> None:
    history = History()
    for loss, top1, top5 in steps:
        history.add(Figures(loss, top1, top5, 0), images=8, seconds=2)
    assert (history.step, history.images) == (len(steps), 8 * len(steps))
    row = history.end_epoch(lr=0.25, validation=VALIDATION, validation_seconds=1)
    images = 8 * len(steps)
    assert row["train_loss"] == pytest.approx(sum(s[0] for s in steps) / images)
    assert row["train_top1"] == sum(s[1] for s in steps) / images
    assert row["train_top5"] == sum(s[2] for s in steps) / images
    assert (row["epoch"], row["lr"], row["validation_top1"]) == (0, 0.25, 0.75)
    assert history.timing == [
        {"epoch": 0, "seconds": 2 * len(steps), "images_per_second": 4, "validation_seconds": 1}
    ]
    assert (history.epoch, history.step, history.images, history.loss) == (1, 0, 0, 0)


def test_the_best_epoch_is_the_first_of_equals() -> None:
    history = History()
    for top1 in (0.5, 0.75, 0.25, 0.75):
        ended(history, top1)
    assert history.best is history.rows[1]


def test_a_history_survives_its_file_bit_by_bit(tmp_path: Path) -> None:
    history = ended(History())
    history.add(Figures(float(torch.tensor(0.1)), 1, 2, 0), images=4, seconds=1 / 3)
    save_torch(tmp_path / "state.pt", history.as_dict())
    assert History.from_dict(load_torch(tmp_path / "state.pt")) == history
    with pytest.raises(CheckpointError, match="missing: step, loss"):
        History.from_dict({"epoch": 1})


def test_the_tables_keep_every_digit(tmp_path: Path) -> None:
    history = History()
    history.write(tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"
    history.add(Figures(1 / 3, 1, 2, 0), images=7, seconds=1)
    history.end_epoch(lr=0.1 + 0.2, validation=VALIDATION, validation_seconds=2)
    history.write(tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["epoch"] == "0"
    assert {name: float(value) for name, value in row.items()} == history.rows[0]
    with (tmp_path / "timing.csv").open(newline="") as file:
        (times,) = csv.DictReader(file)
    assert times == {
        "epoch": "0", "seconds": "1", "images_per_second": "7", "validation_seconds": "2"
    }  # fmt: skip
