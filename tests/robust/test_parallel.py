"""robust.parallel: order and content do not depend on the workers, and failures end it."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from robust.parallel import map_in_order, one_thread_each


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_first(_: int, item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(map_in_order(slow_first, range(workers), range(9))) == [i * i for i in range(9)]


def test_a_worker_serves_one_item_at_a_time_and_all_workers_serve() -> None:
    busy, served, clashes = set(), set(), []
    lock = threading.Lock()

    def work(worker: int, item: int) -> None:
        with lock:
            if worker in busy:
                clashes.append(worker)
            busy.add(worker)
            served.add(worker)
        time.sleep(0.005)
        with lock:
            busy.remove(worker)

    list(map_in_order(work, range(3), range(30)))
    assert not clashes
    assert served == {0, 1, 2}


def test_the_stream_is_read_only_a_little_ahead_of_the_results() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    results = map_in_order(lambda worker, item: item, range(2), items())
    for wanted in range(10):
        assert next(results) == wanted
        assert taken <= wanted + 4


def test_a_failure_reaches_the_consumer_and_later_items_are_dropped() -> None:
    started = []

    def work(_: int, item: int) -> int:
        started.append(item)
        if item == 2:
            raise ValueError("item 2")
        return item

    results = map_in_order(work, [0], iter(range(1000)))
    with pytest.raises(ValueError, match="item 2"):
        list(results)
    assert max(started) < 10


def test_torch_uses_one_thread_inside_and_as_many_as_before_outside() -> None:
    torch.set_num_threads(2)
    before = torch.get_num_threads()

    def fail() -> None:
        with one_thread_each() as cores:
            assert torch.get_num_threads() == 1
            assert cores >= 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert torch.get_num_threads() == before
    torch.set_num_threads(1)
