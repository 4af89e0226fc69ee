"""Trainings of style networks side by side, each kept in a folder of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import torch

from robust.device import choose_device
from robust.training.style import StyleFolder, StyleRun
from styletransfer.images.embedded import training_photographs
from styletransfer.train import new_network


class Training(NamedTuple):
    """A network to train.

    Attributes:
        folder: of the run.
        fields: of :meth:`robust.training.style.StyleRun.from_fields`.
        packed: where a file with weights of 8 bits is written, too; None for none.
    """

    folder: Path
    fields: dict[str, Any]
    packed: Path | None = None


def train_networks(
    trainings: Sequence[Training], *, jobs: int = 1, device: str = "cpu"
) -> Iterator[Path]:
    """Train networks; yields the file of each as it is done.

    What is finished is kept, and what was interrupted resumes. A process has one thread on the
    CPU; processes share an accelerator, which one small network does not fill.

    Args:
        trainings: the longest first.
        jobs: processes.
        device: "cpu", or that of :func:`robust.device.choose_device`.

    Raises:
        InputError: fields that no run can have, or a device that is not there.
    """
    for training in trainings:
        new_network(StyleRun.from_fields(training.fields).recipe)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(_train, training, device) for training in trainings]
        for future in as_completed(futures):
            yield future.result()


def _train(training: Training, device: str) -> Path:
    run, place = StyleRun.from_fields(training.fields), StyleFolder(training.folder)
    target = choose_device(device)
    if not run.is_finished(place):
        run.train(place, training_photographs(), device=target, on_step=lambda step, line: None)
    if training.packed is None:
        return place.network
    run.pack(place.network, training.packed, device=target)
    return training.packed
