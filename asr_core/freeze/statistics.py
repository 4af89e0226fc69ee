"""How constant a gate is over images: the stripe observation in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_core.asr.report import Refusal
from asr_core.errors import InputError
from asr_core.freeze.gates import GateSite
from asr_core.verify.parity import evaluating
from asr_core.verify.watch import watching


@dataclass(frozen=True, eq=False)
class GateStatistics:
    """The gate g[i, c] of one layer over n images i and C channels c.

    Attributes:
        mean: over images, float64 (C,).
        variance: between images, Σ_i (g[i, c] − mean[c])² / n, float64 (C,).
        images: n.
    """

    mean: Tensor
    variance: Tensor
    images: int

    @property
    def std(self) -> float:
        """Standard deviation between images, averaged over channels; in units of the gate."""
        return self.variance.sqrt().mean().item()

    @property
    def stripe(self) -> float:
        """Stripe score: the mean over c of ``variance[c]``, over the variance of ``mean`` over c.

        0 is a perfect stripe: each channel has the same value on every image. At 1, images differ
        as much as channels. Infinite if images differ and channels do not.
        """
        between_images = self.variance.mean().item()
        between_channels = self.mean.var(correction=0).item()
        # Equal gates can differ by float32's rounding.
        floor = (torch.finfo(torch.float32).eps * self.mean.abs().max().item()) ** 2
        if between_images <= floor:
            return 0.0
        return between_images / between_channels if between_channels > floor else math.inf


class _Running:
    """Mean and sum of squared deviations, batch by batch (Chan, Golub, LeVeque 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.squares = torch.zeros(0, dtype=torch.float64)

    def add(self, gate: Tensor) -> None:
        """Add the gates (n, C) of a batch."""
        mean = gate.mean(0)
        squares = (gate - mean).square().sum(0)
        if self.count == 0:
            self.count, self.mean, self.squares = len(gate), mean, squares
            return
        total = self.count + len(gate)
        step = mean - self.mean
        self.squares = self.squares + squares + step.square() * (self.count * len(gate) / total)
        self.mean = self.mean + step * (len(gate) / total)
        self.count = total


@torch.no_grad()
def measure_gates(
    model: nn.Module, sites: Sequence[GateSite], batches: Iterable[Tensor]
) -> tuple[dict[str, GateStatistics], list[Refusal]]:
    """The mean and variance of each gate over ``batches``, with ``model`` in eval mode.

    Args:
        model: the model; its modes are restored.
        sites: its gates (:func:`asr_core.freeze.find_gates`).
        batches: inputs (N, ...) on the model's device.

    Returns:
        Statistics by the site's name, and the sites that are not called once in each forward.

    Raises:
        InputError: fewer than two images, batches that are not tensors, or a gate that is not
            finite.
    """
    running = {site.name: _Running() for site in sites}
    calls: Counter[str] = Counter()
    often: dict[str, int] = {}
    images = 0

    def listen(name: str, gate: Tensor) -> None:
        calls[name] += 1
        if not gate.isfinite().all():
            raise InputError(f"the gate of {name!r} is not finite on these images")
        running[name].add(gate.flatten(1).cpu().double())

    with evaluating(model), listening(model, sites, listen):
        for batch in batches:
            if not isinstance(batch, Tensor):
                raise InputError(
                    f"batches are tensors of inputs, got a {type(batch).__name__}; "
                    "of (images, labels) give the images alone"
                )
            calls.clear()
            model(batch)
            images += len(batch)
            often |= {site.name: n for site in sites if (n := calls[site.name]) != 1}
    if images < 2:
        raise InputError(f"the variance between images needs at least 2 of them, got {images}")
    refusals = [
        Refusal(name, f"it is called {n} times in one forward, so it has no one gate")
        for name, n in often.items()
    ]
    statistics = {
        name: GateStatistics(sums.mean, sums.squares / sums.count, sums.count)
        for name, sums in running.items()
        if name not in often
    }
    return statistics, refusals


def listening(
    model: nn.Module, sites: Iterable[GateSite], listen: Callable[[str, Tensor], None]
) -> AbstractContextManager[None]:
    """Inside the context, call ``listen(site's name, gate)`` after each call of a gate.

    The gate has a value per image and channel, and broadcasts against the features.
    """
    names = {site.gate: site.name for site in sites}
    return watching(model, names, lambda gate, output: listen(names[gate], output))
