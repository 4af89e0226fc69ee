"""asr_core.training.folder: what a run may write to, and opening what it left."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from finished import result
from tiny_classifier import equal, register, run, tiny_config, tiny_data, weights

from asr_core import fuse_asr
from asr_core.errors import CheckpointError, InputError
from asr_core.models import Normalized
from asr_core.saving.checkpoint import load_tensors, save_torch
from asr_core.saving.files import write_json
from asr_core.training import DataFacts, evaluate, is_run, open_run
from asr_core.training.folder import ClassifierFolder, read_result


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    run(tiny_config(), tmp_path / "run")
    return tmp_path / "run"


def test_a_new_or_an_empty_folder_is_free(tmp_path: Path) -> None:
    ClassifierFolder(tmp_path / "new").check()
    assert not (tmp_path / "new").exists(), "checking makes nothing"
    ClassifierFolder(tmp_path).check()


def test_a_finished_run_is_not_run_again_unless_it_is_to_be_overwritten(folder: Path) -> None:
    before = (folder / "fused.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a finished run; choose another folder, or overwri"):
        run(tiny_config(seed=1), folder)
    assert (folder / "fused.safetensors").read_bytes() == before
    (folder / "notes.txt").write_text("mine")
    run(tiny_config(seed=1), folder, overwrite=True)
    assert (folder / "fused.safetensors").read_bytes() != before
    assert (folder / "notes.txt").read_text() == "mine", "other files stay"


def test_overwriting_leaves_nothing_of_the_earlier_run(folder: Path) -> None:
    for name in ("attention.npz", "fused.json", "fused.md", "model.md"):
        (folder / name).write_bytes(b"of the earlier run")
    run(tiny_config(mode="plain"), folder, overwrite=True)
    names = {"model.safetensors", "model.json"}
    gone = {"model.json", "fused.safetensors", "fused.json", "parity.json", "attention.npz"}
    gone |= {"fused.md", "model.md"}
    assert set(os.listdir(folder)) == set(ClassifierFolder.replaced) - gone
    assert names < set(ClassifierFolder.replaced)


def test_other_files_are_not_written_among(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "of another program"})
    with pytest.raises(InputError, match="holds other files; choose another folder, or overwrite"):
        run(tiny_config(), tmp_path)
    assert os.listdir(tmp_path) == ["config.json"]
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "missing")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a file; a run needs a folder"):
            ClassifierFolder(tmp_path / "run", overwrite).check()


def test_a_run_is_known_by_its_config(folder: Path) -> None:
    assert is_run(folder)
    assert json.loads((folder / "config.json").read_text())["schema"] == 1


# --- opening -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("row", ["last", "best"])
@pytest.mark.parametrize("column", ["validation_top1", "lr"])
def test_a_result_without_a_figure_is_refused(tmp_path: Path, row: str, column: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(result())
    assert column in getattr(read_result(file), row)
    facts = json.loads(file.read_text())
    del facts[row][column]
    file.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=rf"result\.json: .*{column}"):
        read_result(file)
