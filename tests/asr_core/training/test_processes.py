"""Training in two processes: the same result as in one, whatever happens on the way."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import together
from tiny_classifier import (
    accelerator_for,
    equal,
    register,
    run,
    tiny_config,
    tiny_data,
    weights,
)
from torch import nn

from asr_core import fuse_asr
from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_tensors
from asr_core.training import EpochEnd, Result, Step, evaluate, open_run, train
from asr_core.training.config import TrainConfig

# Without batch norm, whose statistics are those of a process's share of the batch.
RECIPE = {"backbone": "tiny-gn", "label_smoothing": 0.1, "clip": 0.5, "ema": 0.9}


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def facts(result: Result) -> dict[str, Any]:
    test = result.test
    return {
        "rows": result.rows,
        "test": [test.top1, test.top5, test.loss, test.n],
        "predictions": test.predictions,
        "correct": test.correct,
    }


def counted(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """A run, with the number of files that this process put in place."""
    replace, writes = os.replace, []

    def note(source: Path, target: Path) -> None:
        writes.append(str(target))
        replace(source, target)

    os.replace = note  # type: ignore[assignment]  # the process is a fork, and ends after this
    return {**facts(run(config, folder)), "writes": len(writes)}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_end_as_one_with_the_doubled_batch(tmp_path: Path, accumulate: int) -> None:
    config = tiny_config(RECIPE, accumulate=accumulate)
    ranks = together(2, counted, tmp_path / "ranks", config, tmp_path / "two")
    alone = facts(run(config, tmp_path / "one"))
    first, second = ranks
    assert first["writes"] > 5
    assert second["writes"] == 0, "the first process alone writes"
    for rank in ranks:
        assert rank["rows"] == first["rows"]
        for row, own in zip(rank["rows"], alone["rows"], strict=True):
            assert row == pytest.approx(own, rel=1e-5)
        assert rank["test"] == pytest.approx(alone["test"], rel=1e-5)
        assert torch.equal(rank["predictions"], alone["predictions"])
        assert len(rank["predictions"]) == 17, "an odd number, so that the shares differ"
    assert json.loads((tmp_path / "two" / "result.json").read_text())["processes"] == 2
    two, one = (load_tensors(tmp_path / each / "fused.safetensors") for each in ("two", "one"))
    assert two.keys() == one.keys()
    assert all(torch.allclose(two[key], one[key], atol=1e-6) for key in one)
    start = run(tiny_config({**RECIPE, "lr": 1e-9}), tmp_path / "start").file
    assert not torch.allclose(load_tensors(start)["fc.weight"], one["fc.weight"], atol=1e-3)


def fusing(config: TrainConfig, folder: Path) -> list[float]:
    """A run that evaluates a fused copy after each epoch, over all processes."""
    accelerator = accelerator_for(config, folder)
    found: list[float] = []

    def fuse(end: EpochEnd) -> None:
        plain = fuse_asr(end.model)
        with torch.no_grad():
            example = tiny_data().validation.test_batch(torch.arange(3))
            assert torch.equal(plain(example), end.model(example))
        validation = tiny_data().validation
        result = evaluate(plain, validation, batch_size=3, accelerator=accelerator)
        found.append(result.loss - end.row["validation_loss"])

    train(config, tiny_data(), folder, accelerator=accelerator, on_epoch=fuse)
    return found


def test_a_fused_copy_can_be_evaluated_each_epoch_and_statistics_are_shared(tmp_path: Path) -> None:
    config = tiny_config({"epochs": 3})
    gaps = together(2, fusing, tmp_path / "ranks", config, tmp_path / "run")
    assert gaps == [pytest.approx([0, 0, 0], abs=1e-6)] * 2
    opened = open_run(tmp_path / "run")
    last = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["history"]["rows"][-1]
    found = evaluate(opened.model, tiny_data().validation, batch_size=13)
    assert found.loss == pytest.approx(last["validation_loss"], rel=1e-5)


def pressing(config: TrainConfig, folder: Path) -> int:
    """Ctrl-C reaches the second process alone, in its third step."""
    second = os.environ["RANK"] == "1"
    steps = []

    def press(step: Step) -> None:
        steps.append(step)
        if second and len(steps) == 3:
            signal.raise_signal(signal.SIGINT)

    with contextlib.suppress(KeyboardInterrupt):
        run(config, folder, on_step=press)
        raise AssertionError("the run was not interrupted")
    return len(steps)


def whole(config: TrainConfig, folder: Path) -> int:
    run(config, folder)
    return 0


def test_an_interrupt_of_one_stops_all_and_the_run_goes_on(tmp_path: Path) -> None:
    config = tiny_config({"backbone": "tiny-dropout"})
    stopped = together(2, pressing, tmp_path / "a", config, tmp_path / "run")
    assert stopped == [4, 4]
    together(2, whole, tmp_path / "b", config, tmp_path / "run")
    together(2, whole, tmp_path / "c", config, tmp_path / "undisturbed")
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "undisturbed"))
    metrics = [(tmp_path / n / "metrics.csv").read_bytes() for n in ("run", "undisturbed")]
    assert metrics[0] == metrics[1]


def test_a_run_of_two_can_be_gone_on_with_by_one(tmp_path: Path) -> None:
    config = tiny_config(RECIPE)
    together(2, pressing, tmp_path / "a", config, tmp_path / "run")
    run(config, tmp_path / "run")
    run(config, tmp_path / "one")
    two, one = weights(tmp_path / "run"), weights(tmp_path / "one")
    assert all(torch.allclose(two[name], one[name], atol=1e-6) for name in one)


def diverging(config: TrainConfig, folder: Path) -> str:
    """The loss of the second process alone is not finite, from the third step on."""
    second = os.environ["RANK"] == "1"

    @contextlib.contextmanager
    def noise(model: nn.Module, step: int) -> Iterator[None]:
        spoil: Callable[..., Any] = lambda m, a, out: out * (float("nan") if second else 1)  # noqa: E731
        handle = model.register_forward_hook(spoil) if step == 2 else None
        yield
        if handle:
            handle.remove()

    try:
        run(config, folder, noise=noise)
    except InputError as error:
        return str(error)
    raise AssertionError("the run went on")


def test_a_loss_that_is_not_finite_in_one_stops_all(tmp_path: Path) -> None:
    said = together(2, diverging, tmp_path / "a", tiny_config(RECIPE), tmp_path / "run")
    assert said[0] == said[1]
    assert "the loss is not finite at epoch 0, step 2 of 5" in said[0]


def refused(config: TrainConfig, folder: Path) -> str:
    try:
        run(config, folder)
    except InputError as error:
        return str(error)
    raise AssertionError("the run was not refused")


def test_a_batch_that_two_cannot_share_is_refused_by_both(tmp_path: Path) -> None:
    config = tiny_config({"batch_size": 7})
    for said in together(2, refused, tmp_path / "a", config, tmp_path / "run"):
        assert "a batch of 7 images cannot be split among 2 processes" in said
    assert not (tmp_path / "run").exists()
