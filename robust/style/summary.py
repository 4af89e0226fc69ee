"""The summary of a run: means with intervals, and the answer to its question."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from robust.norm_noise import parse_severity
from robust.stats.closeness import Closeness, closeness_by_gap, closeness_by_similarity
from robust.stats.intervals import mean_interval
from robust.style.measure import TITLES, TO_IN
from robust.style.results import CLEAN, Results, Treatment

QUESTION = (
    "Is BN+ASR closer to IN than BN is, and closer than the control BN+const "
    "(a gate frozen at its initial value, learning nothing)?"
)
WEIGHTY = ("content_loss", "style_loss", "blur", f"ssim_{TO_IN}")
"""The metrics of the table and the verdicts; the CSV has all of them."""

_CANDIDATE, _RIVALS = "bn+asr", ("bn", "bn+const")
ATTACKED = "attacked"


def summarise(results: Results) -> dict[str, Any]:
    """The run as JSON-able data: ``cells`` (means with intervals), ``verdicts``, ``question``."""
    return {
        "question": QUESTION,
        "images": results.images,
        "cells": [
            {
                **cell._asdict(),
                "label": label_of(cell),
                "metrics": {
                    metric: _mean(values)
                    for metric in results.metrics()
                    if (values := results.values(cell, metric)) is not None
                },
            }
            for cell in results.cells()
        ],
        "verdicts": [
            {"situation": situation, "against": rival, **asdict(verdict)}
            for situation, rival, verdict in _verdicts(results)
        ],
    }


def label_of(cell: Treatment) -> str:
    """A cell's noise and severity as a table shows them."""
    if cell.noise == CLEAN:
        return CLEAN
    return f"{cell.noise}, {parse_severity(cell.noise, cell.severity).label}"


def _mean(values: np.ndarray) -> dict[str, Any]:
    """Mean and interval; a mean that is not finite (PSNR of equal pictures) has none."""
    if not np.isfinite(values).all():
        return {"mean": None, "low": None, "high": None, "over": "equal pictures, or missing ones"}
    return asdict(mean_interval(values))


def _verdicts(results: Results) -> list[tuple[str, str, Closeness]]:
    """Clean, under each severity, and under all attacks of a noise together."""
    cells = results.cells()
    situations: dict[str, list[tuple[str, str]]] = {CLEAN: [(CLEAN, "")]}
    for cell in cells:
        if cell.noise == CLEAN:
            continue
        key = (cell.noise, cell.severity)
        label = label_of(cell)
        if key not in situations.setdefault(label, []):
            situations[label].append(key)
        if not parse_severity(*key).is_control:
            together = situations.setdefault(f"{cell.noise}, {ATTACKED}", [])
            if key not in together:
                together.append(key)
    found = []
    for situation, keys in situations.items():
        for rival in _RIVALS:
            for metric in WEIGHTY:
                verdict = _verdict(results, metric, keys, rival)
                if verdict is not None:
                    found.append((situation, rival, verdict))
    return found


def _verdict(
    results: Results, metric: str, keys: list[tuple[str, str]], rival: str
) -> Closeness | None:
    ours = _table(results, _CANDIDATE, metric, keys)
    theirs = _table(results, rival, metric, keys)
    names = ("IN", _CANDIDATE.upper(), _title(rival))
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return None
    if metric.endswith(TO_IN):
        return closeness_by_similarity(TITLES[metric], a=ours, b=theirs, names=names)
    # What an attack should leave untouched is the clean IN network.
    reference = _table(results, "in", metric, [(CLEAN, "")])
    if reference is None or reference.shape != ours.shape:
        return None
    return closeness_by_gap(TITLES[metric], reference=reference, a=ours, b=theirs, names=names)


def _table(
    results: Results, norm: str, metric: str, keys: list[tuple[str, str]]
) -> np.ndarray | None:
    """Mean over severities of one norm's values, (seeds, images)."""
    tables = [
        values
        for cell in results.cells()
        if cell.norm == norm and (cell.noise, cell.severity) in keys
        if (values := results.values(cell, metric)) is not None
    ]
    if len(tables) != len(keys) or not all(np.isfinite(table).all() for table in tables):
        return None
    return np.mean(tables, axis=0)


def _title(norm: str) -> str:
    return {"bn+const": "BN+const"}.get(norm, norm.upper())
