"""asr_core.data.folder.workers: a function over arguments, in other processes, in order."""

import os

import pytest
import torch
from torch import Tensor

from asr_core.data.folder.workers import check_workers, default_workers, in_workers
from asr_core.errors import InputError


def whereabouts(numbers: list[int]) -> tuple[list[int], int]:
    return [number**2 for number in numbers], os.getpid()


def refuse(numbers: list[int]) -> Tensor:
    raise KeyError(f"no {numbers}")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order_from_other_processes(workers: int) -> None:
    state = torch.get_rng_state()
    arguments = ([n, n + 1] for n in range(9))
    results = list(in_workers(whereabouts, arguments, workers=workers))
    assert [squares for squares, _ in results] == [[n**2, (n + 1) ** 2] for n in range(9)]
    processes = {process for _, process in results}
    assert len(processes) == max(1, workers)
    assert (os.getpid() in processes) == (workers == 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_stream_may_be_left_early() -> None:
    results = in_workers(whereabouts, ([n] for n in range(1000)), workers=1)
    assert next(results)[0] == [0]
    del results


def test_a_defect_in_a_worker_comes_through() -> None:
    with pytest.raises(KeyError, match="no"):
        list(in_workers(refuse, [[1]], workers=1))


def test_processes_of_a_host_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_workers() == check_workers(None) == 12
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert default_workers() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "13")
    assert default_workers() == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(128)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 16


def test_a_negative_number_is_refused() -> None:
    assert check_workers(0) == 0
    with pytest.raises(InputError, match="workers is -1"):
        check_workers(-1)
