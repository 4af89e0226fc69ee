"""How long a run takes, estimated from a few of its steps."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import torch

from asr_core.data import open_data, steps_per_epoch, train_batches
from asr_core.errors import InputError
from asr_core.training import DataFacts, TrainConfig, new_accelerator
from asr_core.training.learner import Learner
from robust.sweep.engine import environment

Device = Literal["auto", "cpu"]

STEPS = 3
TO_A_STEP = 1 / 3
"""The cost of evaluating a batch over that of a training step, which also goes backward."""


def estimated_seconds(config: TrainConfig, *, device: Device = "cpu") -> float:
    """:func:`measured_seconds` in a new process.

    Else the accelerator's memory would stay in use, and Accelerate keeps one setting a process.

    Raises:
        InputError: the data cannot be opened, or the config does not go with it.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import main; main()", device],
        input=json.dumps(config.as_dict()),
        capture_output=True,
        text=True,
        env=environment(),
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise InputError(f"the first run cannot begin: {said[0]}")
    return float(done.stdout)


def main() -> None:
    """Read a config from stdin, and write the estimated seconds to stdout."""
    config = TrainConfig.from_dict(json.load(sys.stdin))
    try:
        seconds = measured_seconds(config, device="cpu" if "cpu" in sys.argv else "auto")
    except InputError as error:
        sys.exit(str(error))
    sys.stdout.write(str(seconds))


def measured_seconds(config: TrainConfig, *, device: Device = "cpu") -> float:
    """Seconds of a run of ``config`` on one thread, from the fastest of a few training steps.

    Raises:
        InputError: the data cannot be opened, or the config does not go with it.
    """
    recipe = config.recipe
    data = open_data(
        recipe.data,
        folder=None if config.data_folder is None else Path(config.data_folder),
        image_size=recipe.image_size,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            accelerator = new_accelerator(config, Path(folder), device=device)
            learner = Learner(config, DataFacts.of(data), accelerator)
            data = data.to(accelerator.device)
            batches = train_batches(data.train, batch_size=recipe.batch_size, seed=0, epoch=0)
            images, labels = next(batches)
            step = min(_seconds(learner, images, labels, at) for at in range(STEPS))
    finally:
        torch.set_num_threads(threads)
    steps = recipe.epochs * steps_per_epoch(data.train, recipe.batch_size)
    evaluated = recipe.epochs * len(data.validation) + (1 + config.gated) * len(data.test)
    return step * (steps + TO_A_STEP * evaluated / recipe.batch_size)


def _seconds(learner: Learner, images: torch.Tensor, labels: torch.Tensor, at: int) -> float:
    start = time.perf_counter()
    learner.step(images, labels, lr=1e-3, at=(0, at))  # reads the loss, so it waits for a GPU
    return time.perf_counter() - start
