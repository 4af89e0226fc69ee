"""robust.cores: as many as are idle, and never none."""

import os
from collections.abc import Iterator

import pytest
import torch

from robust.cores import THREADS, leave_busy_cores, spare_cores


@pytest.mark.parametrize(
    ("cores", "load", "expected"),
    [(8, 0.1, 8), (8, 3.0, 5), (8, 30.0, 1), (1, 0.0, 1), (2, 2.6, 1)],
)
def test_busy_cores_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, cores: int, load: float, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert spare_cores() == expected


def test_systems_that_tell_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert spare_cores() == 3


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("load", "expected"), [(0.2, 4), (1.0, 3), (9.0, 1)])
def test_torch_computes_on_idle_cores(
    monkeypatch: pytest.MonkeyPatch, load: float, expected: int
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert leave_busy_cores() == 4 - expected
    assert torch.get_num_threads() == expected


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("name", THREADS)
def test_what_the_user_says_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "4")
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0), raising=False)
    assert leave_busy_cores() == 0
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_fewer_threads_than_idle_cores_stay_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    torch.set_num_threads(2)
    assert leave_busy_cores() == 0
    assert torch.get_num_threads() == 2
