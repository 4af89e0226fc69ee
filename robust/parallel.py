"""A map over a stream with several workers, results in order, memory bounded."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from robust.cores import spare_cores

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Worker, Item], Result], workers: Sequence[Worker], items: Iterable[Item]
) -> Iterator[Result]:
    """``work(worker, item)`` for every item, each worker on one item at a time.

    Results come in the order of the items, whatever the number of workers. At most one item more
    than there are workers is held. When the consumer stops, or an item fails, items that have not
    started are dropped.
    """
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def task(item: Item) -> Result:
        worker = free.get()
        try:
            return work(worker, item)
        finally:
            free.put(worker)

    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(len(workers)) as threads:
        try:
            for item in items:
                pending.append(threads.submit(task, item))
                if len(pending) > len(workers):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextlib.contextmanager
def one_thread_each() -> Iterator[int]:
    """One thread for each torch operation, and how many workers may run side by side.

    Numbers then do not depend on the machine's cores either: sums are taken in one order.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield spare_cores()
    finally:
        torch.set_num_threads(before)
