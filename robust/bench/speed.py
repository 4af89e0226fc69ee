"""How fast models are beside each other."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def side_by_side(models: Sequence[nn.Module], inputs: Tensor, *, rounds: int = 7) -> list[float]:
    """Median seconds of a forward of each model, in turns after a warm-up round.

    Args:
        models: in eval mode, on the device of ``inputs``.
        inputs: what each takes.
        rounds: how often each is timed, 1 or more.
    """
    return [statistics.median(seconds) for seconds in timed(models, inputs, rounds=rounds)]


@torch.inference_mode()
def timed(
    models: Sequence[nn.Module],
    inputs: Tensor,
    *,
    rounds: int = 7,
    on_forward: Callable[[], None] | None = None,
) -> list[list[float]]:
    """Seconds of every forward, for each model ``rounds`` of them; see :func:`side_by_side`.

    The models take turns, so that what else the machine does in a round slows them alike, in an
    order drawn anew each round, so that none always follows the same other one.

    Args:
        on_forward: called after each forward, ``len(models) * (rounds + 1)`` times.
    """
    times: list[list[float]] = [[] for _ in models]
    turns = list(zip(models, times, strict=True))
    order = random.Random()  # not the caller's draws
    for turn in range(rounds + 1):
        for model, measured in order.sample(turns, len(turns)):
            _wait(inputs.device)
            start = time.perf_counter()
            model(inputs)
            _wait(inputs.device)
            if turn:
                measured.append(time.perf_counter() - start)
            if on_forward is not None:
                on_forward()
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
