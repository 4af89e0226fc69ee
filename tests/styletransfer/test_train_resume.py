"""Interrupted training: N steps are k steps, an interruption, and the rest, bit for bit."""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import same, tiny_recipe, trained
from torch import nn

from asr_core.errors import CheckpointError
from asr_core.saving.interrupt import Interrupted
from styletransfer.train import StyleStep


class InterruptedRunError(Exception):
    """Stands in for whatever ends a run."""


@pytest.mark.parametrize(
    ("norm", "save_every", "stop"),
    [
        ("bn+asr", 1, 1), ("bn+asr", 1, 2), ("bn+asr", 2, 0), ("bn+asr", 2, 3), ("bn+asr", 3, 4),
        ("in", 1, 2), ("in", 2, 2), ("bn", 1, 2), ("bn", 2, 3), ("bn+const", 1, 1),
    ],
)  # fmt: skip
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, norm: str, save_every: int, stop: int
) -> None:
    recipe, resume = tiny_recipe(norm, steps=stop + 2), tmp_path / "resume.pt"

    def interrupt(step: StyleStep) -> None:
        if step.step == stop:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        trained(recipe, resume=resume, save_every=save_every, on_step=interrupt)
    assert resume.exists() == (stop >= save_every)
    steps: list[StyleStep] = []
    resumed = trained(recipe, resume=resume, save_every=save_every, on_step=steps.append)
    assert steps[0].step == stop // save_every * save_every, "it goes on, and does not start anew"
    assert same(resumed, trained(recipe))


@pytest.mark.parametrize("stop", range(3))
def test_ctrl_c_loses_no_step(tmp_path: Path, stop: int) -> None:
    """At every step, the last one too, although nothing would be saved before the end."""
    recipe, resume = tiny_recipe(steps=3), tmp_path / "resume.pt"
    saved: list[int] = []
    steps: list[StyleStep] = []

    def press(step: StyleStep) -> None:
        steps.append(step)
        if step.step == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=str(resume)):
        trained(recipe, resume=resume, on_step=press, on_save=lambda: saved.append(len(steps)))
    assert saved == [stop + 1], "once, after the step"
    resumed = trained(recipe, resume=resume, on_step=steps.append)
    whole: list[StyleStep] = []
    assert same(resumed, trained(recipe, on_step=whole.append))
    assert steps == whole


def test_without_a_file_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(tiny_recipe(), on_step=lambda step: signal.raise_signal(signal.SIGINT))
    assert not isinstance(caught.value, Interrupted)


def test_an_interrupted_run_goes_through_the_same_losses(tmp_path: Path) -> None:
    recipe, resume = tiny_recipe(steps=4), tmp_path / "resume.pt"
    whole: list[StyleStep] = []
    trained(recipe, on_step=whole.append)
    parts: list[StyleStep] = []

    def twice(step: StyleStep) -> None:
        parts.append(step)
        if len(parts) == 2:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        trained(recipe, resume=resume, save_every=1, on_step=twice)
    trained(recipe, resume=resume, save_every=1, on_step=parts.append)
    assert [step.step for step in parts] == [0, 1, 1, 2, 3]
    assert parts[:1] + parts[2:] == whole


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    recipe, resume = tiny_recipe(), tmp_path / "resume.pt"
    first = trained(recipe, resume=resume)
    steps: list[StyleStep] = []
    assert same(first, trained(recipe, resume=resume, on_step=steps.append))
    assert steps == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 1e-4}, r"lr \(0.002, now 0.0001\)"),
        ({"seed": 7, "steps": 9}, r"seed \(0, now 7\); steps \(1, now 9\)"),
        ({"norm": "bn"}, "norm"),
        ({"width": 8}, "width"),
    ],
)
def test_another_recipes_run_is_not_resumed(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    resume = tmp_path / "resume.pt"
    trained(tiny_recipe(steps=1), resume=resume)
    before = resume.read_bytes()
    with pytest.raises(CheckpointError, match=rf"differs in {named}"):
        trained(tiny_recipe(**{"steps": 1, **changes}), resume=resume)
    assert resume.read_bytes() == before


@pytest.mark.parametrize("other", [{"noise": "random 0.1"}, {}, {"noise": None, "style": "x"}])
def test_another_settings_run_is_not_resumed(tmp_path: Path, other: dict[str, object]) -> None:
    recipe, resume = tiny_recipe(steps=1), tmp_path / "resume.pt"
    setting = {"noise": "random 0.2"}
    trained(recipe, resume=resume, setting=setting)
    trained(recipe, resume=resume, setting=setting)
    with pytest.raises(CheckpointError, match="differs in noise"):
        trained(recipe, resume=resume, setting=other)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    resume = tmp_path / "resume.pt"
    resume.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"resume\.pt: refused: it is damaged"):
        trained(tiny_recipe(), resume=resume)


@pytest.mark.parametrize("content", [[1], {"step": 1}, {"recipe": 3}])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "resume.pt")
    with pytest.raises(CheckpointError, match=r"resume\.pt: holds no run"):
        trained(tiny_recipe(), resume=tmp_path / "resume.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": "1"}, "step is '1'"),
        ({"step": -1}, "step is -1"),
        ({"step": 10**26}, "step is 1"),
        ({"network": {}}, "not the tensors of its own run: missing: conv1.conv2d.weight"),
        ({"network": None}, "network is None"),
        ({"optimizer": {"state": {0: 1}}}, "no optimizer state"),
        ({"generator": torch.ones(3)}, "no state of a generator"),
        ({"generator": 7}, "generator is 7"),
        ({"more": 1}, "unknown field 'more'"),
        ({"recipe": {3: 4}}, "recipe: .* name 3"),
    ],
)
def test_a_spoilt_state_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    resume = tmp_path / "resume.pt"
    trained(tiny_recipe(), resume=resume)
    state = torch.load(resume, weights_only=True)
    torch.save({**state, **change}, resume)
    with pytest.raises(CheckpointError, match=rf"resume\.pt: {message}"):
        trained(tiny_recipe(), resume=resume)
    del state["generator"]
    torch.save(state, resume)
    with pytest.raises(CheckpointError, match=r"resume\.pt: missing: generator"):
        trained(tiny_recipe(), resume=resume)


def test_a_full_disk_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, resume = tiny_recipe(), tmp_path / "resume.pt"
    fsync, calls = os.fsync, []

    def full_at_the_second(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        trained(recipe, resume=resume, save_every=1)
    assert os.listdir(tmp_path) == ["resume.pt"]
    steps: list[StyleStep] = []
    assert same(trained(recipe, resume=resume, on_step=steps.append), trained(recipe))
    assert steps[0].step == 1


def test_a_resumed_run_goes_on_with_the_steps_noise(tmp_path: Path) -> None:
    entered: list[int] = []

    @contextlib.contextmanager
    def noise(network: nn.Module, step: int) -> Iterator[None]:
        entered.append(step)
        layer = network.get_submodule("conv1")
        handle = layer.register_forward_hook(lambda m, a, out: (1 + step) * out)
        yield
        handle.remove()

    def stop(step: StyleStep) -> None:
        if step.step == 1:
            raise InterruptedRunError

    recipe, resume = tiny_recipe("bn"), tmp_path / "resume.pt"
    with pytest.raises(InterruptedRunError):
        trained(recipe, noise=noise, resume=resume, save_every=1, on_step=stop)
    entered.clear()
    resumed = trained(recipe, noise=noise, resume=resume)
    assert entered == [1, 2]
    assert same(resumed, trained(recipe, noise=noise))
