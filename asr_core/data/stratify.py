"""Setting aside a fixed part of every class."""

from __future__ import annotations

import torch
from torch import Tensor


def cut(labels: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Split indices into a large and a small part, class by class, without random numbers.

    Each class gives ``fraction`` of its members, evenly spaced in the order of ``labels``, int64
    (N,); at least one, unless it has only one.

    Returns:
        Indices kept and indices cut out, both int64, ascending, disjoint, together 0 to N − 1.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for places in labels.argsort(stable=True).split(labels.bincount().tolist()):
        count = len(places)
        if count > 1:
            share = max(1, min(count - 1, round(fraction * count)))
            steps = torch.arange(count + 1) * share // count
            chosen[places] = steps.diff() > 0
    return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]
