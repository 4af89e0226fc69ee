"""A function mapped over arguments in the worker processes of torch's DataLoader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from asr_core import limits

A = TypeVar("A")
R = TypeVar("R")

_MOST = 16


def default_workers() -> int:
    """The number of usable processors, at most 16, divided among the processes on this host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun and accelerate
    return max(1, min(_MOST, (cores or 1) // processes))


def check_workers(workers: int | None) -> int:
    """``workers``, or the default for None.

    Raises:
        InputError: it is below 0 or above ``limits.WORKERS``.
    """
    if workers is None:
        return default_workers()
    return limits.whole("workers", workers, 0, limits.WORKERS)


def in_workers(
    function: Callable[[A], R], arguments: Iterable[A], *, workers: int, pin: bool = False
) -> Iterator[R]:
    """``function`` of each argument, in order; two arguments per worker are read ahead.

    Nothing is drawn from torch's global generator.

    Args:
        function: a function that can be pickled.
        arguments: lists or other sequences.
        workers: number of processes; 0 calls ``function`` here.
        pin: put tensors into page-locked memory, for faster copies to a GPU.
    """
    if not workers:
        return map(function, arguments)
    loader: DataLoader[Any] = DataLoader(
        _Mapped(function),
        batch_sampler=arguments,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_same,
        pin_memory=pin,
        generator=torch.Generator(),
    )
    return iter(loader)


class _Mapped(Dataset[Any]):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __getitems__(self, argument: Any) -> Any:
        """The loader calls this with a whole batch."""
        return self.function(argument)


def _same(value: Any) -> Any:
    return value
