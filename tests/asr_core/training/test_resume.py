"""Interrupted runs: whatever ended them, the same command goes on to the same end."""

import contextlib
import errno
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_classifier import equal, register, run, tiny_config, tiny_data, weights
from torch import Tensor, nn

from asr_core.errors import CheckpointError, InputError
from asr_core.saving import checkpoint, files
from asr_core.saving.checkpoint import load_tensors
from asr_core.training import Step, StepNoise, TrainConfig

CONFIG_KEYS = {"backbone": "tiny-dropout", "ema": 0.8, "optimizer": "adamw", "lr": 0.01}
STEPS = 10


@pytest.fixture(autouse=True)
def backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    # Only a power failure would show the difference, and the suite's disk is slow.
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        run(config(), folder)
    return folder


def config(**changes: Any) -> TrainConfig:
    return tiny_config({**CONFIG_KEYS, **changes.pop("recipe", {})}, **changes)


def ended_alike(folder: Path, whole: Path) -> bool:
    """Bit for bit: the fused model, both states' models, and the figures of every epoch."""
    tensors = [load_tensors(each / "fused.safetensors") for each in (folder, whole)]
    names = ("config.json", "fused.safetensors", "metrics.csv", "parity.json")
    return (
        equal(*tensors)
        and all(
            equal(weights(folder, name), weights(whole, name)) for name in ("last.pt", "best.pt")
        )
        and all((folder / name).read_bytes() == (whole / name).read_bytes() for name in names)
    )


class Interrupter:
    """Presses Ctrl-C in the steps of these numbers, counted over all epochs and attempts."""

    def __init__(self, at: set[int]) -> None:
        self.at = set(at)
        self.steps: list[tuple[int, int]] = []

    def __call__(self, step: Step) -> None:
        self.steps.append((step.epoch, step.step))
        if 5 * step.epoch + step.step in self.at:
            self.at.remove(5 * step.epoch + step.step)
            signal.raise_signal(signal.SIGINT)


def apart(at: set[int]) -> bool:
    """Pressed in consecutive steps, Ctrl-C would end the run at once."""
    return not any(step + 1 in at for step in at)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.sets(st.integers(1, STEPS), min_size=1, max_size=3).filter(apart))
def test_interrupted_at_any_steps_a_run_ends_as_the_whole_one(
    at: set[int], whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run") / "run"
    press = Interrupter(at)
    handler = signal.getsignal(signal.SIGINT)
    attempts = 0
    while True:
        attempts += 1
        left = len(press.at)
        with contextlib.suppress(KeyboardInterrupt):
            run(config(), folder, on_step=press)
        assert signal.getsignal(signal.SIGINT) is handler
        if len(press.at) == left:
            break
    assert not press.at
    assert attempts > 1
    # One step may follow the key that was pressed; none is taken twice, none is left out.
    assert press.steps == [(epoch, step) for epoch in range(2) for step in range(1, 6)]
    assert ended_alike(folder, whole)
    shutil.rmtree(folder)


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"the same command goes on from here; .*last\.pt"):
        run(config(), tmp_path / "run", on_step=Interrupter({3}))
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["history"]["step"] == 4, "the step under way was finished"
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_run_is_not_the_whole_one_by_chance(tmp_path: Path, whole: Path) -> None:
    run(config(seed=1), tmp_path / "run")
    assert not ended_alike(tmp_path / "run", whole)


class KilledError(BaseException):
    """Stands in for kill -9: nothing that would clean up runs after it."""


def count_writes(patch: pytest.MonkeyPatch, die_at: int | None, *, after: bool) -> list[str]:
    """Let the process die at the n-th rename of a file into place, before or after it."""
    replace, done = os.replace, []

    def counted(source: Path, target: Path) -> None:
        done.append(Path(target).name)
        dying = len(done) - 1 == die_at
        if dying and not after:
            patch.setattr(Path, "unlink", lambda *a, **k: None)  # kill -9 leaves drafts behind
            raise KilledError
        replace(source, target)
        if dying:
            raise KilledError

    patch.setattr(files.os, "replace", counted)
    return done


def writes_of_a_run(folder: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        names = count_writes(patch, None, after=False)
        run(config(), folder, save_seconds=0)
    return names


def test_killed_at_any_kind_of_write_a_run_goes_on_to_the_same_end(
    whole: Path, tmp_path: Path
) -> None:
    names = writes_of_a_run(tmp_path / "counted")
    assert names.count("last.pt") == STEPS + 2
    moments = [(names.index(name), False) for name in dict.fromkeys(names)]
    moments += [(names.index("last.pt", 3), True), (names.index("best.pt"), True)]
    assert len(moments) == 10
    for n, after in moments:
        folder = tmp_path / f"{n}-{after}"
        with pytest.MonkeyPatch.context() as patch:
            count_writes(patch, n, after=after)
            with pytest.raises(KilledError):
                run(config(), folder, save_seconds=0)
        drafts = [path for path in folder.iterdir() if path.name.startswith(".")]
        assert after or drafts, "the write that was cut off left its draft"
        run(config(), folder)
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        assert ended_alike(folder, whole)


@pytest.mark.parametrize("seconds", [0.0, 0.013, 0.029])
def test_killed_by_the_system_while_it_saves_it_goes_on_to_the_same_end(
    whole: Path, tmp_path: Path, seconds: float
) -> None:
    folder = tmp_path / "run"

    def linger(step: Step) -> None:
        if (step.epoch, step.step) == (1, 4):
            signal.pause()  # however late it is killed, it has not ended
        time.sleep(0.02)

    victim = multiprocessing.get_context("fork").Process(
        target=run,
        args=(config(), folder),
        kwargs={"save_seconds": 0, "on_step": linger},
    )
    victim.start()
    while not (folder / "last.pt").exists():
        assert victim.is_alive()
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    state = torch.load(folder / "last.pt", weights_only=True)
    assert (state["history"]["epoch"], state["history"]["step"]) >= (0, 1)
    assert not (folder / "result.json").exists(), "it was killed before its end"
    run(config(), folder)
    assert ended_alike(folder, whole)


@pytest.mark.parametrize("full_from", [1, 4, 9, 17])
def test_a_full_disk_leaves_the_last_state_whole(
    full_from: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fsync, calls = tmp_path / "run", os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) >= full_from:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            run(config(), folder, save_seconds=0)
    assert not list(folder.glob(".*"))
    press = Interrupter(set())
    run(config(), folder, on_step=press)
    if full_from > 4:
        assert len(press.steps) < STEPS, "it goes on, and does not start anew"
    assert ended_alike(folder, whole)


def interrupted(folder: Path, after: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(config(), folder, on_step=Interrupter({after}))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1}, r"config\.seed \(0, now 1\)"),
        ({"attention": "se"}, r"config\.attention \('ie', now 'se'\)"),
        ({"recipe": {"lr": 0.5}}, r"config\.recipe\.lr \(0\.01, now 0\.5\)"),
        ({"mode": "plain"}, r"config\.mode \('asr', now 'plain'\)"),
        (
            {"recipe": {"ema": 0.5, "batch_size": 4}},
            r"batch_size \(8, now 4\); config\.recipe\.ema",
        ),
    ],
)
def test_only_the_run_that_was_interrupted_goes_on(
    tmp_path: Path, other: dict[str, Any], named: str
) -> None:
    interrupted(tmp_path / "run")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(CheckpointError, match=rf"differs in .*{named}"):
        run(config(**other), tmp_path / "run")
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    run(config(**other), tmp_path / "run", overwrite=True)


def test_other_data_or_another_setting_makes_another_run(tmp_path: Path) -> None:
    interrupted(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"differs in data\.sizes .*; data\.labels"):
        run(config(), tmp_path / "run", tiny_data(sizes=(48, 13, 17)))
    mirrored = tiny_data()
    mirrored.train.border = "reflect"
    with pytest.raises(CheckpointError, match=r"differs in data\.border \(None, now 'reflect'\)"):
        run(config(), tmp_path / "run", mirrored)
    with pytest.raises(CheckpointError, match=r"differs in setting\.noise \(None, now 'random'\)"):
        run(config(), tmp_path / "run", setting={"noise": "random"})


def test_data_in_another_place_is_the_same_data(tmp_path: Path, whole: Path) -> None:
    interrupted(tmp_path / "run")
    run(config(data_folder="elsewhere"), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html></html>"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    interrupted(tmp_path / "run")
    (tmp_path / "run" / "last.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.pt: refused: it is damaged"):
        run(config(), tmp_path / "run")


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path / "run")
    checkpoint.save_torch(tmp_path / "run" / "last.pt", {"step": 3})
    with pytest.raises(CheckpointError, match=r"last\.pt: holds no run; remove it"):
        run(config(), tmp_path / "run")


def put(*place: Any) -> Callable[[Any], None]:
    """Sets (or, at ..., removes) what stands at a place of nested containers."""

    def spoil(state: Any) -> None:
        *path, last, value = place
        for name in path:
            state = state[name]
        if value is ...:
            del state[last]
        else:
            state[last] = value(state.get(last)) if callable(value) else value

    return spoil


@pytest.mark.filterwarnings("ignore")  # torch's remarks on sparse and quantised tensors
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (put("optimizer", ...), "missing: optimizer"),
        (put("averaged", ...), "missing: averaged"),
        (put("extra", lambda _: 1), "unknown field 'extra'"),
        (put("averaged", True), "averaged is True"),
        (put("averaged", -1), "averaged is -1"),
        (put("model", [1]), r"model is \[1\]"),
        (put("model", "fc.bias", ...), "missing: fc.bias"),
        (put("model", "other", lambda _: torch.ones(1)), "unexpected: other"),
        (put("model", "fc.bias", 1.5), "model.fc.bias is 1.5"),
        (put("model", "fc.bias", lambda t: t[None]), r"of another form: fc.bias \(1, 6\)"),
        (put("model", "fc.bias", lambda t: t.double()), "of another form: fc.bias"),
        (put("model", "fc.bias", lambda t: t.to(torch.float8_e5m2)), "fc.bias is of type"),
        (put("model", "fc.bias", lambda t: t.to(torch.complex64)), "fc.bias is of type"),
        (put("model", "fc.bias", lambda t: t.to_sparse()), "fc.bias is no dense tensor"),
        (put("model", "fc.bias", lambda t: t / 0), "fc.bias holds NaN or inf"),
        (put("model", "fc.bias", lambda t: t[:1].expand(10**9)), "of fewer numbers repeated"),
        (put("average", None), "lacks the average"),
        (put("average", "fc.bias", ...), "not the average of its own run: missing: fc.bias"),
        (put("optimizer", {}), "no optimizer state"),
        (put("optimizer", "state", 0, ...), "no optimizer state"),
        (put("optimizer", "state", 0, None), "state of parameter 0 is None"),
        (put("optimizer", "state", 1, "exp_avg", ...), "state of parameter 1"),
        (put("optimizer", "state", 0, "exp_avg", 3), "exp_avg of parameter 0 is 3"),
        (put("optimizer", "state", 0, "exp_avg", lambda t: t[:1]), r"exp_avg of .* is \(1,"),
        (put("optimizer", "state", 0, "step", lambda t: -t), "after -"),
        (put("optimizer", "state", 0, "exp_avg", lambda t: t * torch.nan), "holds NaN"),
        (put("history", "epoch", 7), "rows are not"),
        (put("history", "loss", torch.nan), "loss is nan"),
        (put("history", "step", "1"), "step is '1'"),
        (put("history", "rows", ...), "missing: rows"),
        (put("history", 3), "history is 3"),
        (put("identity", "config", "seed", 2**70), "identity: config.seed is"),
        (put("identity", "config", {5: 1}), "identity: a table has the name 5"),
        (put("identity", "config", "seed", 4), r"differs in config.seed \(4, now 0\)"),
    ],
)
def test_a_spoilt_state_is_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    interrupted(tmp_path / "run")
    file = tmp_path / "run" / "last.pt"
    state = torch.load(file, weights_only=True)
    spoil(state)
    torch.save(state, file)
    before = file.read_bytes()
    with pytest.raises(CheckpointError, match=message) as caught:
        run(config(), tmp_path / "run")
    assert "last.pt" in str(caught.value) or "history" in str(caught.value)
    assert file.read_bytes() == before


def test_a_second_ctrl_c_ends_at_once_and_leaves_what_was_saved(
    tmp_path: Path, whole: Path
) -> None:
    interrupted(tmp_path / "run", after=2)
    before = (tmp_path / "run" / "last.pt").read_bytes()

    def twice(step: Step) -> None:
        if step.step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(config(), tmp_path / "run", on_step=twice)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    run(config(), tmp_path / "run")
    assert ended_alike(tmp_path / "run", whole)


@contextlib.contextmanager
def spoiled(model: nn.Module, spoil: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    handle = model.register_forward_hook(lambda module, args, output: spoil(output))
    yield
    handle.remove()


def nan_loss(model: nn.Module, step: int) -> AbstractContextManager[object]:
    return spoiled(model, lambda out: out * float("nan")) if step == 7 else nullcontext()


def infinite_gradient(model: nn.Module, step: int) -> AbstractContextManager[object]:
    def spoil(output: Tensor) -> None:
        output.register_hook(lambda gradient: gradient * float("inf"))

    return spoiled(model, spoil) if step == 7 else nullcontext()


@pytest.mark.parametrize(
    ("noise", "what"), [(nan_loss, "loss is"), (infinite_gradient, "weights are")]
)
def test_what_is_not_finite_stops_the_run_and_is_not_saved(
    tmp_path: Path, noise: StepNoise, what: str
) -> None:
    """A loss says nothing of the weights after its update, so both are looked at."""
    folder = tmp_path / "run"
    rate = config().recipe.learning_rate(1.4)
    with pytest.raises(
        InputError,
        match=rf"the {what} not finite at epoch 1, step 2 of 5 \(learning rate {rate:.3g}\); "
        r"the last good state is .*last\.pt\. Overwrite the run with a lower",
    ):
        run(config(), folder, noise=noise, save_seconds=0)
    state = torch.load(folder / "last.pt", weights_only=True)
    assert (state["history"]["epoch"], state["history"]["step"]) == (1, 2)
    assert all(value.isfinite().all() for value in state["model"].values())


def test_when_nothing_was_saved_yet_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epoch 0, step 0 of 5 .*; nothing was saved yet\."):
        run(config(), tmp_path / "run", noise=lambda model, step: nan_loss(model, 7))
