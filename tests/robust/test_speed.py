"""Timing side by side, under a clock that the models themselves move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from robust.speed import side_by_side, timed


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now


class Slow(nn.Module):
    """Takes as many seconds as told, one number a forward."""

    def __init__(self, name: str, clock: Clock, seconds: Iterator[float]) -> None:
        super().__init__()
        self.name, self.clock, self.seconds = name, clock, seconds

    def forward(self, x: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        self.clock.now += next(self.seconds)
        self.clock.order.append(self.name)
        return x


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("robust.speed.time.perf_counter", clock)
    return clock


def test_models_take_turns_and_the_first_round_does_not_count(clock: Clock) -> None:
    models = [Slow("a", clock, iter((100, 1, 2, 6))), Slow("b", clock, iter((50, 4, 5, 3)))]
    ticks: list[float] = []
    times = timed(models, torch.zeros(1), rounds=3, on_forward=lambda: ticks.append(clock.now))
    assert clock.order == ["a", "b"] * 4
    assert times == [[1, 2, 6], [4, 5, 3]]
    assert ticks == [100, 150, 151, 155, 157, 162, 168, 171]


def test_side_by_side_gives_medians(clock: Clock) -> None:
    models = [Slow("a", clock, iter((100, 1, 2, 6))), Slow("b", clock, iter((50, 4, 5, 3)))]
    assert side_by_side(models, torch.zeros(1), rounds=3) == [2, 4]
