"""asr_core.training.engine: a whole run, and what it writes."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.utils
from accelerate import Accelerator
from tiny_classifier import (
    accelerator_for,
    equal,
    forget_accelerator,
    register,
    run,
    tiny_config,
    tiny_data,
    tiny_recipe,
    weights,
)
from torch import nn

from asr_core import fuse_asr
from asr_core.data import train_batches
from asr_core.errors import InputError, ParityError
from asr_core.models import build_named
from asr_core.saving.saved_model import load_model
from asr_core.training import EpochEnd, Step, engine, evaluate, train
from asr_core.training.config import DataFacts
from asr_core.training.learner import Learner


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def table(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(v) for name, v in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("mode", "attention"),
    [("plain", "se"), ("live", "se"), ("asr", "se"), ("both", "ie"), ("asr", "const")],
)
def test_every_mode_ends_in_a_file_that_rebuilds_itself(
    tmp_path: Path, mode: str, attention: str
) -> None:
    config = tiny_config({"backbone": "resnet11", "epochs": 1}, mode=mode, attention=attention)
    data = tiny_data()
    result = run(config, tmp_path / "run", data)
    name = "fused" if config.gated else "model"
    assert result.file == tmp_path / "run" / f"{name}.safetensors"
    expected = {"config.json", "metrics.csv", "timing.csv", "last.pt", "best.pt", "result.json"}
    expected.add(f"{name}.safetensors")
    assert set(os.listdir(tmp_path / "run")) == expected | (
        {"parity.json"} if config.gated else set()
    )
    assert result.gates == (3 if config.gated else 0)
    model = load_model(result.file, build_named)
    found = evaluate(model, data.test, batch_size=4)
    assert torch.equal(found.predictions, result.test.predictions)
    assert found.loss == pytest.approx(result.test.loss, rel=1e-4)
    wrote = json.loads((tmp_path / "run" / "result.json").read_text())
    assert wrote["test"] == {**result.test.figures(), "images": 17}
    assert wrote["parameters"] == sum(p.numel() for p in model.parameters())
    if config.gated:
        parity = json.loads((tmp_path / "run" / "parity.json").read_text())
        assert (parity["same_class"], parity["test_images"], parity["gates"]) == (17, 17, 3)
        assert parity["max_rel"] <= 1e-5


def test_metrics_are_those_of_the_same_steps_taken_by_hand(tmp_path: Path) -> None:
    config, data = tiny_config(), tiny_data()
    result = run(config, tmp_path / "run", data)
    learner = Learner(config, DataFacts.of(data), accelerator_for(config, tmp_path))
    for row in table(tmp_path / "run" / "metrics.csv"):
        epoch, sums = int(row["epoch"]), torch.zeros(3, dtype=torch.float64)
        batches = train_batches(data.train, batch_size=8, seed=0, epoch=epoch)
        for step, (images, labels) in enumerate(batches):
            rate = config.recipe.learning_rate(epoch + step / 5)
            figures = learner.step(images, labels, lr=rate, at=(epoch, step))
            sums += torch.tensor(figures[:3], dtype=torch.float64)
        assert row["lr"] == config.recipe.learning_rate(epoch + 0.8)
        means = [row[f"train_{name}"] for name in ("loss", "top1", "top5")]
        assert means == pytest.approx((sums / 40).tolist(), rel=1e-6)
        found = evaluate(learner.model, data.validation, batch_size=13)
        for name, value in found.figures().items():
            assert row[f"validation_{name}"] == pytest.approx(value, rel=1e-5)
    assert [row["epoch"] for row in result.rows] == [0, 1]
    assert equal(learner.model.model.state_dict(), weights(tmp_path / "run"))
    times = table(tmp_path / "run" / "timing.csv")
    assert [row["epoch"] for row in times] == [0, 1]
    assert all(
        row["images_per_second"] == pytest.approx(40 / row["seconds"], rel=1e-4) for row in times
    )


def test_it_learns(tmp_path: Path) -> None:
    result = run(tiny_config({"epochs": 12, "lr": 0.05}), tmp_path / "run")
    assert result.rows[-1]["train_loss"] < 0.6 * result.rows[0]["train_loss"]
    assert result.test.top1 > 0.6


def test_steps_and_epochs_are_told(tmp_path: Path) -> None:
    steps: list[Step] = []
    ends: list[EpochEnd] = []
    fused: list[float] = []

    def keep(end: EpochEnd) -> None:
        ends.append(end)
        assert not end.model.training
        plain = fuse_asr(end.model)
        fused.append(evaluate(plain, tiny_data().validation, batch_size=8).top1)

    result = run(tiny_config(), tmp_path / "a", on_step=steps.append, on_epoch=keep)
    assert [(s.epoch, s.step, s.steps) for s in steps] == [
        (e, s, 5) for e in (0, 1) for s in range(1, 6)
    ]
    assert all(s.images_per_second > 0 for s in steps)
    assert [end.epoch for end in ends] == [0, 1]
    assert [end.row for end in ends] == result.rows
    assert fused == [row["validation_top1"] for row in result.rows]
    mean = sum(s.loss for s in steps[:5]) / 5
    assert result.rows[0]["train_loss"] == pytest.approx(mean)
    # Looking in changes nothing.
    run(tiny_config(), tmp_path / "b")
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_noise_is_told_the_step_of_the_run_and_changes_the_weights(tmp_path: Path) -> None:
    entered: list[int] = []

    @contextlib.contextmanager
    def noise(model: nn.Module, step: int) -> Iterator[None]:
        entered.append(step)
        handle = model.get_submodule("model.conv").register_forward_hook(
            lambda m, a, out: 2 * out + 1
        )
        yield
        handle.remove()

    run(tiny_config(), tmp_path / "noisy", noise=noise, setting={"noise": "affine"})
    assert entered == list(range(10))
    run(tiny_config(), tmp_path / "clean")
    assert not equal(weights(tmp_path / "noisy"), weights(tmp_path / "clean"))
    config = json.loads((tmp_path / "noisy" / "config.json").read_text())
    assert config["setting"] == {"noise": "affine"}


def test_events_are_written_for_tensorboard_when_asked(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny_config()
    accelerator = accelerator_for(config, tmp_path / "run", tensorboard=True)
    result = train(config, tiny_data(), tmp_path / "run", accelerator=accelerator)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(result.rows[0])
    told = [(event.step, event.value) for event in events.Scalars("validation_loss")]
    assert told == [(e, pytest.approx(row["validation_loss"])) for e, row in enumerate(result.rows)]


def test_a_fused_model_of_another_mind_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: nn.Module) -> nn.Module:
        plain = fuse_asr(model)
        with torch.no_grad():
            plain.get_parameter("model.fc.bias")[2] += 5
        return plain

    monkeypatch.setattr(engine, "fuse_asr", wrong)
    with pytest.raises(
        ParityError, match=r"the fused model gives \d+ of 17 test images another cl"
    ):
        run(tiny_config(), tmp_path / "run")
    assert not {"fused.safetensors", "result.json"} & set(os.listdir(tmp_path / "run"))
    monkeypatch.undo()
    register(monkeypatch)
    assert run(tiny_config(), tmp_path / "run").file.exists(), "the run is there to be finished"


def test_a_file_that_was_not_written_as_it_is_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = engine.load_tensors

    def flipped(path: Path) -> dict[str, torch.Tensor]:
        tensors = load(path)
        tensors["fc.bias"][0] += 1e-6
        return tensors

    monkeypatch.setattr(engine, "load_tensors", flipped)
    with pytest.raises(
        ParityError, match=r"fused\.safetensors does not hold the model that was wr"
    ):
        run(tiny_config(), tmp_path / "run")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"batch_size": 41}, "batch size 41 is larger than the set of 40 images"),
        ({"data": "cifar10"}, "the recipe is for 'cifar10', the data is 'tiny'"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    tmp_path: Path, recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(tiny_config(recipe), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_accelerator_of_another_config_is_refused(tmp_path: Path) -> None:
    accelerator = accelerator_for(tiny_config(accumulate=2), tmp_path)
    with pytest.raises(
        InputError, match=r"made for precision and accumulation \('no', 2\), the run w"
    ):
        train(tiny_config(), tiny_data(), tmp_path, accelerator=accelerator)


def test_fp16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision fp16 needs a GPU; on a CPU use bf16"):
        accelerator_for(tiny_config(precision="fp16"), tmp_path)


def test_processes_that_do_not_find_each_other_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator_for(tiny_config(), tmp_path)
    from asr_core.training import new_accelerator

    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match="4 processes were launched, but this one sees 1; launch"):
        new_accelerator(tiny_config(), tmp_path, device="cpu")


def test_tensorboard_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.utils.is_tensorboard_available", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'robust-asr\[tensorboard\]'"):
        accelerator_for(tiny_config(), tmp_path, tensorboard=True)


def test_warm_up_and_milestones_reach_the_steps(tmp_path: Path) -> None:
    config = tiny_config({"epochs": 3, "warmup_epochs": 1.0})
    rates = [row["lr"] for row in run(config, tmp_path / "run").rows]
    assert rates == [config.recipe.learning_rate(epoch + 0.8) for epoch in range(3)]
    assert rates[0] == pytest.approx(0.08)
    assert tiny_recipe().warmup_epochs == 0


def test_a_compiled_run_ends_as_an_eager_one(tmp_path: Path) -> None:
    """With dynamo's own backend: what a code generator adds is torch's affair."""
    forget_accelerator()
    accelerator = Accelerator(cpu=True, dynamo_backend="eager")
    config = tiny_config({"epochs": 1}, compile=True)
    train(config, tiny_data(), tmp_path / "compiled", accelerator=accelerator)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0, "the forward was compiled"
    run(tiny_config({"epochs": 1}), tmp_path / "eager")
    compiled, eager = weights(tmp_path / "compiled"), weights(tmp_path / "eager")
    assert compiled.keys() == eager.keys()
    assert all(torch.allclose(compiled[name], eager[name], atol=1e-6) for name in eager)
