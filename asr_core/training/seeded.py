"""Draws inside a model (weights, dropout, stochastic depth) as a function of what they are for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from asr_core.draws import Key, generator


@contextlib.contextmanager
def seeded(*parts: Key, device: torch.device | str = "cpu") -> Iterator[None]:
    """Torch's own random state follows ``parts`` inside, and is as before after.

    Args:
        parts: whole numbers and strings that name the draws, as in :mod:`asr_core.draws`.
        device: where draws are made, beside the CPU.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    seed = generator(*parts).initial_seed()
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would seed devices that are not restored.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield
