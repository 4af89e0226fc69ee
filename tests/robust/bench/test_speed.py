"""Timing side by side, under a clock that the models themselves move."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from robust.bench.speed import side_by_side, timed


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
    monkeypatch.setattr("robust.bench.speed.time.perf_counter", clock)
    return clock


def test_models_take_turns_and_the_first_round_does_not_count(clock: Clock) -> None:
    models = [Slow("a", clock, iter((100, 1, 2, 6))), Slow("b", clock, iter((50, 4, 5, 3)))]
    ticks: list[float] = []
    times = timed(models, torch.zeros(1), rounds=3, on_forward=lambda: ticks.append(clock.now))
    assert [sorted(clock.order[i : i + 2]) for i in range(0, 8, 2)] == [["a", "b"]] * 4
    assert times == [[1, 2, 6], [4, 5, 3]]
    assert len(ticks) == 8
    assert ticks[1::2] == [150, 155, 162, 171]  # at the end of each round


def test_the_order_is_drawn_anew_each_round_and_not_from_the_callers_draws(clock: Clock) -> None:
    state = random.getstate()
    models = [Slow(name, clock, itertools.repeat(1.0)) for name in "abcdef"]
    timed(models, torch.zeros(1), rounds=20)
    rounds = {"".join(clock.order[i : i + 6]) for i in range(0, 21 * 6, 6)}
    # Of 720 orders; that 21 draws give fewer than 11 has a chance below 1e-17.
    assert len(rounds) > 10
    assert random.getstate() == state


def test_side_by_side_gives_medians(clock: Clock) -> None:
    models = [Slow("a", clock, iter((100, 1, 2, 6))), Slow("b", clock, iter((50, 4, 5, 3)))]
    assert side_by_side(models, torch.zeros(1), rounds=3) == [2, 4]
