"""What the measurements of a run are compared under: clean, each attack, all attacks of a noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from robust.norm_noise.severity import parse_severity
from robust.stats.intervals import Interval, mean_interval
from robust.stats.share import Share
from robust.style.results import CLEAN, Results, Treatment

ATTACKED = "attacked"
T = TypeVar("T")
Key = tuple[str, str]
Tables = dict[int, np.ndarray]


def label_of(noise: str, severity: str) -> str:
    """A noise and its severity as tables show them."""
    return CLEAN if noise == CLEAN else f"{noise}, {parse_severity(noise, severity).label}"


def situations(cells: Iterable[Treatment]) -> dict[str, list[Key]]:
    """The severities of each situation; controls are none, they belong to the clean one."""
    situations: dict[str, list[Key]] = {CLEAN: [(CLEAN, "")]}
    for noise, severity in dict.fromkeys((cell.noise, cell.severity) for cell in cells):
        if noise != CLEAN and not parse_severity(noise, severity).is_control:
            situations[label_of(noise, severity)] = [(noise, severity)]
            situations.setdefault(f"{noise}, {ATTACKED}", []).append((noise, severity))
    return situations


def mean_of(values: np.ndarray) -> dict[str, Any]:
    """Mean and interval; a mean that is not finite (PSNR of equal pictures) has none."""
    if not np.isfinite(values).all():
        return {"mean": None, "low": None, "high": None, "over": "equal pictures, or missing ones"}
    return asdict(mean_interval(values))


def tables_of(results: Results, norm: str, metric: str, keys: list[Key]) -> Tables | None:
    """A norm's values by training seed, (images,), their mean over the severities."""
    found: list[Tables] = []
    for noise, severity in keys:
        cells = [c for c in results.cells() if c.norm == norm and c[1:3] == (noise, severity)]
        values = results.by_seed(cells[0], metric) if cells else {}
        if not values:
            return None
        found.append(values)
    seeds = set.intersection(*map(set, found))
    return {seed: np.mean([values[seed] for values in found], axis=0) for seed in seeds}


def paired(tables: dict[str, Tables | None], names: Iterable[str]) -> list[np.ndarray] | None:
    """Tables (S, I) of the training seeds that all of ``names`` have; None where one has none."""
    chosen = [tables.get(name) for name in names]
    if any(table is None for table in chosen):
        return None
    of_names = [table for table in chosen if table is not None]
    seeds = sorted(set.intersection(*map(set, of_names)))
    if not seeds:
        return None
    arrays = [np.stack([table[seed] for seed in seeds]) for table in of_names]
    return arrays if all(np.isfinite(array).all() for array in arrays) else None


def percent_of(share: dict[str, Any]) -> str:
    """A share of the summary, such as "4 % [-12, 20]"."""
    advantage = Interval(**share["advantage"])
    return Share(share["share"], share["low"], share["high"], advantage).percent


def spread_out(severities: Sequence[T], most: int) -> Sequence[T]:
    """At most ``most`` of them, the first and the last among them."""
    if len(severities) <= most:
        return severities
    step = (len(severities) - 1) / (most - 1)
    return [severities[round(index * step)] for index in range(most)]
