"""Planning a study from a few runs: seeds, cost and the smallest visible effect.

Only the spread between seeds is taken from the pilot, never its means, so that the same runs may be
part of the study: planning sees nothing of the contrast.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from asr_core import limits
from asr_core.errors import InputError
from robust.stats.power import seeds_for, visible_with


@dataclass(frozen=True)
class PilotRun:
    """A finished run.

    Attributes:
        variant: what was trained.
        seed: of the training.
        score: of any unit.
        seconds: that the run took; None if unknown.
    """

    variant: str
    seed: int
    score: float
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """A comparison of two variants.

    Attributes:
        variants: the two.
        paired: whether they share their seeds.
        pilot: seeds that the spread is from.
        spread: σ, as in :func:`robust.stats.power.visible_with`.
        seeds: a variant, that see ``effect`` with 80 % power.
        effect: the effect.
        hours: of computing for all of them; None if no run says how long it took.
        planned: seeds of the study that is planned; None without one.
        visible: the smallest effect that those see.
    """

    variants: tuple[str, str]
    paired: bool
    pilot: int
    spread: float
    effect: float
    seeds: int
    hours: float | None
    planned: int | None
    visible: float | None


def plans(runs: Iterable[PilotRun], *, effect: float, planned: int | None = None) -> list[Plan]:
    """A plan for each two variants: paired, where two seeds or more are shared, and unpaired.

    Args:
        runs: those of the pilot.
        effect: to be seen, in the unit of the scores.
        planned: seeds a variant of a study, if its smallest visible effect is asked for.

    Raises:
        InputError: a seed of a variant comes twice, fewer than two variants have two seeds, a
            score is not finite, or as :func:`robust.stats.power.seeds_for`.
    """
    scores: dict[str, dict[int, float]] = {}
    seconds: dict[str, list[float]] = {}
    for run in runs:
        own = scores.setdefault(run.variant, {})
        if run.seed in own:
            raise InputError(f"{run.variant} has seed {run.seed} twice")
        if not math.isfinite(run.score):
            raise InputError(f"{run.variant}, seed {run.seed}: the score is {run.score}")
        own[run.seed] = run.score
        if run.seconds is not None:
            seconds.setdefault(run.variant, []).append(run.seconds)
    known = {name: own for name, own in scores.items() if len(own) > 1}
    if len(known) < 2:
        counts = ", ".join(f"{name} {len(own)}" for name, own in scores.items()) or "none"
        raise InputError(f"a plan needs two variants with two seeds or more each; got {counts}")
    if planned is not None:
        limits.whole("seeds", planned, 2, limits.RUNS)
    found = []
    for a, b in itertools.combinations(known, 2):
        shared = sorted(set(known[a]) & set(known[b]))
        if len(shared) > 1:
            gaps = [known[a][seed] - known[b][seed] for seed in shared]
            found.append((a, b, True, len(shared), float(np.std(gaps, ddof=1))))
        spreads = [float(np.std(list(known[name].values()), ddof=1)) for name in (a, b)]
        count = min(len(known[a]), len(known[b]))
        found.append((a, b, False, count, math.hypot(*spreads)))
    return [
        _plan((a, b), paired, count, spread, effect, planned, seconds)
        for a, b, paired, count, spread in found
    ]


def _plan(
    variants: tuple[str, str],
    paired: bool,
    pilot: int,
    spread: float,
    effect: float,
    planned: int | None,
    seconds: Mapping[str, list[float]],
) -> Plan:
    seeds = seeds_for(effect, spread, paired=paired)
    hours = None
    if all(name in seconds for name in variants):
        hours = seeds * sum(float(np.mean(seconds[name])) for name in variants) / 3600
    visible = None if planned is None else visible_with(planned, spread, paired=paired)
    return Plan(variants, paired, pilot, spread, effect, seeds, hours, planned, visible)
