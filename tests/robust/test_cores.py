"""robust.cores: as many as are idle, and never none."""

import os

import pytest

from robust.cores import spare_cores


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
