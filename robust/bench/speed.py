"""The speed of models and other steps, compared."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

Step = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


def in_turns(
    steps: Mapping[Name, Step],
    rounds: int,
    *,
    clock: Callable[[], float] = time.process_time,
    on_step: Callable[[], object] = lambda: None,
    on_round: Callable[[dict[Name, float]], object] = lambda seconds: None,
) -> dict[Name, list[float]]:
    """Seconds of each step in each round, after a round of warm-up that does not count.

    The steps take turns, so that other load slows them alike, in a new random order each round, so
    that none always follows the same other one.

    Args:
        steps: by name.
        rounds: rounds that count.
        clock: gives seconds; by default the CPU time of the process.
        on_step: called after each step, ``len(steps) * (rounds + 1)`` times.
        on_round: called with the seconds of each round that counts.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in steps}
    order = random.Random()  # leaves the caller's random state alone
    for turn in range(rounds + 1):
        measured = dict.fromkeys(steps, 0.0)
        for name in order.sample(list(steps), len(steps)):
            start = clock()
            steps[name]()
            measured[name] = clock() - start
            on_step()
        if turn:
            for name in steps:
                seconds[name].append(measured[name])
            on_round(measured)
    return seconds


@torch.inference_mode()
def timed(
    models: Sequence[nn.Module],
    inputs: Tensor,
    *,
    rounds: int,
    on_forward: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Wall-clock seconds of each model's forwards on ``inputs``, ``rounds`` of them, in turns.

    Args:
        models: in eval mode, on the device of ``inputs``.
        inputs: a batch that all of them take.
        rounds: timed forwards of each, 1 or more.
        on_forward: called after each forward, ``len(models) * (rounds + 1)`` times.
    """

    def clock() -> float:
        if inputs.device.type == "cuda":
            torch.cuda.synchronize(inputs.device)
        return time.perf_counter()

    steps = {place: partial(model, inputs) for place, model in enumerate(models)}
    return list(in_turns(steps, rounds, clock=clock, on_step=on_forward).values())


def side_by_side(models: Sequence[nn.Module], inputs: Tensor, *, rounds: int = 7) -> list[float]:
    """The median of :func:`timed`, for each model."""
    return [statistics.median(seconds) for seconds in timed(models, inputs, rounds=rounds)]
