"""How fast models are beside each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.inference_mode()
def side_by_side(models: Sequence[nn.Module], inputs: Tensor, *, rounds: int = 7) -> list[float]:
    """Median seconds of a forward of each model on the CPU, in turns after a warm-up round.

    Args:
        models: in eval mode.
        inputs: what each takes.
        rounds: how often each is timed, 1 or more.
    """
    times: list[list[float]] = [[] for _ in models]
    for turn in range(rounds + 1):
        for model, measured in zip(models, times, strict=True):
            start = time.perf_counter()
            model(inputs)
            if turn:
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]
