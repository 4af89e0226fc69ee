"""asr_core.training.run: opening what a run left."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_classifier import equal, register, run, tiny_config, tiny_data, weights

from asr_core import fuse_asr
from asr_core.errors import CheckpointError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_tensors, save_torch
from asr_core.training import DataFacts, evaluate, open_run


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.mark.parametrize("mode", ["plain", "asr"])
@pytest.mark.parametrize("recipe", [{}, {"ema": 0.5}], ids=["raw", "average"])
def test_the_last_model_is_the_one_that_was_evaluated(
    tmp_path: Path, mode: str, recipe: dict[str, Any]
) -> None:
    config = tiny_config(recipe, mode=mode)
    result = run(config, tmp_path)
    opened = open_run(tmp_path)
    assert isinstance(opened.model, Normalized)
    assert not opened.model.training
    assert (opened.config, opened.data, opened.epoch) == (config, DataFacts.of(tiny_data()), 2)
    assert (opened.stock.name, opened.stock.arguments) == ("asr:tiny", {"num_classes": 6})
    assert (opened.stock.input_shape, opened.stock.mean) == ((3, 8, 8), (0.5, 0.4, 0.3))
    plain = fuse_asr(opened.model)
    assert equal(plain.model.state_dict(), load_tensors(result.file))
    found = evaluate(opened.model, tiny_data().test, batch_size=5)
    assert found.top1 == result.test.top1
    assert found.loss == pytest.approx(result.test.loss, rel=1e-5)


def test_the_best_model_is_that_of_the_epoch_that_was_best_on_validation(tmp_path: Path) -> None:
    result = run(tiny_config({"epochs": 6, "lr": 0.5}), tmp_path)
    shares = [row["validation_top1"] for row in result.rows]
    best = shares.index(max(shares))
    assert 0 < best < 5, "neither the first nor the last"
    opened = open_run(tmp_path, which="best")
    assert opened.epoch == best + 1
    assert equal(opened.model.model.state_dict(), weights(tmp_path, "best.pt"))
    found = evaluate(opened.model, tiny_data().validation, batch_size=13)
    assert found.top1 == shares[best] == result.best["validation_top1"]
    assert found.loss == pytest.approx(result.best["validation_loss"], rel=1e-5)
    assert not equal(weights(tmp_path, "best.pt"), weights(tmp_path, "last.pt"))


def test_a_run_under_way_and_a_file_of_it_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(
            tiny_config(),
            tmp_path,
            on_step=lambda step: signal.raise_signal(signal.SIGINT) if step.step == 2 else None,
        )
    opened = open_run(tmp_path / "last.pt")
    assert opened.epoch == 0
    with torch.no_grad():
        assert opened.model(torch.rand(2, 3, 8, 8)).shape == (2, 6)
    with pytest.raises(CheckpointError, match=r"best\.pt: no such state of a run; was one saved"):
        open_run(tmp_path, which="best")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"identity": {}}, "missing: config, data, setting"),
        ({"model": {}}, "not the tensors of its own run"),
        ({"history": None}, "history is None"),
    ],
)
def test_a_state_that_does_not_hold_together_is_refused(
    tmp_path: Path, spoil: dict[str, Any], message: str
) -> None:
    run(tiny_config(), tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    save_torch(tmp_path / "last.pt", {**state, **spoil})
    with pytest.raises(CheckpointError, match=rf"last\.pt: {message}"):
        open_run(tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.pt: no such state of a run"):
        open_run(tmp_path)
    save_torch(tmp_path / "last.pt", [1])
    with pytest.raises(CheckpointError, match=r"last\.pt: holds no run"):
        open_run(tmp_path)
    (tmp_path / "last.pt").write_text("<html></html>")
    with pytest.raises(CheckpointError, match=r"last\.pt: refused: it is damaged"):
        open_run(tmp_path)
