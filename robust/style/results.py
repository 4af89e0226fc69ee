"""Measurements: streamed to a tidy CSV, and means kept for the summary."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, TextIO

import numpy as np

from asr_core.errors import InputError
from robust.norm_noise.severity import parse_severity
from robust.report.escape import csv_cell

COLUMNS = (
    "task", "norm", "noise", "severity", "seed", "image", "metric", "value",
    "style", "statistics", "draw",
)  # fmt: skip
CLEAN = "clean"


class Row(NamedTuple):
    """One measurement; ``draw`` is empty where a value stands for all draws."""

    task: str
    norm: str
    noise: str
    severity: str
    seed: int
    image: str
    metric: str
    value: float
    style: str
    statistics: str
    draw: int | str = ""


class Treatment(NamedTuple):
    """What a line of the summary stands for: one norm variant under one noise."""

    norm: str
    noise: str
    severity: str
    statistics: str


class Results:
    """Streams rows to a CSV, and keeps one mean per (treatment, metric, seed, image).

    Memory grows by a few numbers per image, never by pictures.
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)
        self._sums: dict[tuple[Treatment, str], dict[tuple[int, str], list[float]]] = {}
        self._images: dict[str, None] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Write ``rows`` and add them to the means."""
        for row in rows:
            cells = [*row[:7], _text(row.value), *row[8:]]
            self._writer.writerow([csv_cell(str(cell)) for cell in cells])
            cell = Treatment(row.norm, row.noise, row.severity, row.statistics)
            seen = self._sums.setdefault((cell, row.metric), defaultdict(lambda: [0.0, 0]))
            total = seen[row.seed, row.image]
            total[0] += row.value
            total[1] += 1
            self._images[row.image] = None

    @property
    def images(self) -> list[str]:
        """Names of the images seen, in order."""
        return list(self._images)

    def cells(self) -> list[Treatment]:
        """The cells seen, in order."""
        return list(dict.fromkeys(cell for cell, _ in self._sums))

    def metrics(self) -> list[str]:
        """The metrics seen, in order."""
        return list(dict.fromkeys(metric for _, metric in self._sums))

    @property
    def seeds(self) -> list[int]:
        """The training seeds seen, ascending."""
        return sorted({seed for sums in self._sums.values() for seed, _ in sums})

    def values(self, cell: Treatment, metric: str) -> np.ndarray | None:
        """Means over draws as an array (training seeds, images), NaN where not measured.

        None where the cell has no such metric.
        """
        rows = self.by_seed(cell, metric)
        return np.stack(list(rows.values())) if rows else None

    def by_seed(self, cell: Treatment, metric: str) -> dict[int, np.ndarray]:
        """The rows of :meth:`values` by training seed, ascending; empty where not measured."""
        seen = self._sums.get((cell, metric), {})
        column = {image: index for index, image in enumerate(self._images)}
        rows = {
            seed: np.full(len(self._images), math.nan)
            for seed in sorted({seed for seed, _ in seen})
        }
        for (seed, image), (total, count) in seen.items():
            rows[seed][column[image]] = total / count
        return rows


def attacked_means(
    file: Path, metric: str, *, noise: str, norms: Sequence[str]
) -> dict[str, dict[tuple[int, str], float]]:
    """A metric under a noise from ``metrics.csv``: norm -> (training seed, image) -> mean.

    The mean over severities, of each the mean over draws, controls left out.

    Args:
        file: of a run.
        metric: its name.
        noise: "batch", "constant" or "random".
        norms: the variants that are wanted; each needs every seed, image and severity.

    Raises:
        InputError: no such file, no measurements in it, or a variant lacks some of them.
    """
    draws: dict[str, dict[tuple[int, str, str], list[float]]] = {norm: {} for norm in norms}
    try:
        with file.open(encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                wanted = (row["metric"], row["noise"]) == (metric, noise) and row["norm"] in draws
                if wanted and not parse_severity(noise, row["severity"]).is_control:
                    key = int(row["seed"]), row["image"], row["severity"]
                    draws[row["norm"]].setdefault(key, []).append(float(row["value"]))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; `robust attack --full` makes it") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{file}: no measurements of an attack ({error})") from None
    keys = dict.fromkeys(key for found in draws.values() for key in found)
    if not keys:
        raise InputError(f"{file}: no {metric} of {', '.join(norms)} under {noise} noise")
    for norm, found in draws.items():
        for seed, image, severity in keys:
            if (seed, image, severity) not in found:
                raise InputError(
                    f"{file}: seed {seed} has no {metric} of {norm} under {noise} noise "
                    f"{severity} for {image}; {', '.join(norms)} are needed of each training seed"
                )
    severities = dict.fromkeys(severity for *_, severity in keys)
    places = dict.fromkeys((seed, image) for seed, image, _ in keys)
    return {
        norm: {
            (seed, image): fmean(fmean(found[seed, image, each]) for each in severities)
            for seed, image in places
        }
        for norm, found in draws.items()
    }


def _text(value: float) -> str:
    return f"{value:.6g}"
