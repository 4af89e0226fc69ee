"""SIGTERM and SIGHUP end a command as Ctrl-C does, and one process at a time has a folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_classifier import register, tiny_data, tiny_recipe

import asr_core.data
import asr_core.recipes
import robust.stripes.source
import robust.suites.subject
from asr_core import training
from asr_core.saving.exclusive import exclusive
from robust.cli import Lazy, LazyGroup, main
from robust.cli.signals import ending_signals

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """What a script starts in the background ignores Ctrl-C."""
    before = {number: signal.getsignal(number) for number in CODES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(monkeypatch: pytest.MonkeyPatch, function: Callable[[], Any]) -> Any:
    """A command that calls ``function``, in the program's frame."""
    module = type(sys)("commands_that_end")
    module.end = click.command()(function)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    group = LazyGroup("robust", lazy={"end": Lazy(f"{module.__name__}:end", "End.")})
    return CliRunner().invoke(group, ["end"], prog_name="robust")


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_each_signal_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def end() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as error:
            error.args = ("the same command goes on",)
            raise

    result = run(monkeypatch, end)
    assert result.exit_code == code
    assert result.stderr.strip() == "robust: interrupted; the same command goes on"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    result = run(monkeypatch, lambda: signal.raise_signal(signal.SIGHUP))
    assert result.exit_code == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_systems_without_sighup_and_other_threads_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    assert run(monkeypatch, lambda: signal.raise_signal(signal.SIGTERM)).exit_code == 143
    done: list[bool] = []

    def work() -> None:
        with ending_signals():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_forked_worker_ends_without_a_word() -> None:
    fork = multiprocessing.get_context("fork")
    begun = fork.Event()

    def work() -> None:
        begun.set()
        while True:
            signal.pause()

    with ending_signals():
        process = fork.Process(target=work)
        process.start()
        begun.wait()
        process.terminate()
        process.join()
    assert process.exitcode == -signal.SIGTERM


ARGUMENTS = ["train", "--recipe", "resnet29-embedded", "--attention", "ie", "--device", "cpu"]


def train(folder: Path, at: int, number: int) -> Any:
    """``robust train``, in which the signal comes in the step ``at``; 0 for never."""
    done = []

    def pressing(*arguments: Any, on_step: Callable[[Any], None], **options: Any) -> Any:
        def stepped(step: Any) -> None:
            on_step(step)
            done.append(step)
            if len(done) == at:
                signal.raise_signal(number)

        return original(*arguments, on_step=stepped, **options)

    original = training.train
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        patch.setattr(training, "train", pressing)
        return CliRunner().invoke(main, [*ARGUMENTS, "--out", str(folder)], prog_name="robust")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny_recipe())
    monkeypatch.setattr(asr_core.data, "open_data", lambda *a, **k: tiny_data())
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.parametrize(("number", "code"), CODES.items())
@pytest.mark.usefixtures("tiny")
def test_training_is_saved_and_goes_on(tmp_path: Path, number: int, code: int) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert train(whole, 0, number).exit_code == 0
    result = train(folder, 3, number)
    assert result.exit_code == code, result.output
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("robust: interrupted; the same command goes on from here"), line
    assert not list(folder.glob(".*"))
    assert train(folder, 0, number).exit_code == 0
    for name in ("fused.safetensors", "metrics.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    "command",
    [
        ARGUMENTS,
        ["train", "style", "--style", "mosaic", "--steps", "1"],
        ["attack", "--noise", "constant", "--severity", "0.5,0.5", "--train-seeds", "1"],
        ["sweep", "init", "--train-seeds", "1"],
        ["stylize", "IMAGE"],
        ["evaluate", "RUN", "--suite", "norm-noise"],
        ["attack", "--task", "classify", "--checkpoint", "RUN"],
        ["stripes", "RUN"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("tiny")
def test_every_command_that_writes_a_folder_refuses_one_that_is_in_use(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("image.png")
    names = {"IMAGE": "image.png", "RUN": "trained"}
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        if "RUN" in command:
            made = ["train", "--mode", "live", "--device", "cpu", "--out", "trained"]
            assert CliRunner().invoke(main, made).exit_code == 0
            for module in (robust.stripes.source, robust.suites.subject):
                patch.setattr(module, "open_data", lambda *a, **k: tiny_data())
        arguments = [names.get(word, word) for word in command]
        refused: list[Any] = []

        def second() -> None:
            refused.append(CliRunner().invoke(main, [*arguments, "--out", "out"]))

        with exclusive(Path("out")):
            thread = threading.Thread(target=second)  # a lock is a thread's, as a process's
            thread.start()
            thread.join()
            assert os.listdir("out") == [".lock"]
    (result,) = refused
    assert result.exit_code == 2, result.output
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith(f"robust: error: {tmp_path / 'out'} is in use by process {os.getpid()}")
