"""A function over many arguments, in the worker processes of torch's DataLoader, in order."""

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
    """The processors that this process may use, at most 16, shared by the processes of a host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun and accelerate
    return max(1, min(_MOST, (cores or 1) // processes))


def check_workers(workers: int | None) -> int:
    """``workers``, or the default for None.

    Raises:
        InputError: it is below 0 (which decodes in this process), or above ``limits.WORKERS``.
    """
    if workers is None:
        return default_workers()
    return limits.whole("workers", workers, 0, limits.WORKERS)


def in_workers(
    function: Callable[[A], R], arguments: Iterable[A], *, workers: int, pin: bool = False
) -> Iterator[R]:
    """``function`` of each argument, in order.

    Arguments are taken ahead, two a worker. Nothing is drawn from torch's global generator.

    Args:
        function: one that can be pickled.
        arguments: lists or the like.
        workers: number of processes; 0 calls ``function`` here.
        pin: put tensors into page-locked memory, for the way to a GPU.
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
        """What the loader calls with a whole batch."""
        return self.function(argument)


def _same(value: Any) -> Any:
    return value
