"""Results of one variant over its training seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr_core.errors import InputError
from robust.suites.condition import Condition
from robust.suites.results import SuiteResult

UNNAMED = "a network"


@dataclass(frozen=True)
class Cohort:
    """Networks that differ in nothing but the training seed, under one suite.

    Attributes:
        label: their name in tables.
        trained_under: the noise of their training; "" for none.
        seeds: training seeds, ascending; a network of unknown origin counts as seed 0.
        results: one for each seed.
    """

    label: str
    trained_under: str
    seeds: tuple[int, ...]
    results: tuple[SuiteResult, ...]

    @property
    def title(self) -> str:
        """The label, and the noise of the training."""
        under = f", trained under {self.trained_under}" if self.trained_under else ""
        return self.label + under

    def right(
        self, conditions: Sequence[Condition], seeds: Sequence[int] | None = None
    ) -> np.ndarray:
        """The share of ``conditions`` under which each network has each sample right, (S, n).

        Repeats of a condition are averaged first. ``seeds`` selects networks; None for all.
        """
        wanted = self.seeds if seeds is None else seeds
        return np.stack(
            [
                np.mean([result.share_right(each) for each in conditions], axis=0)
                for result in (self.results[self.seeds.index(seed)] for seed in wanted)
            ]
        )

    def no_gradient(self, conditions: Sequence[Condition]) -> int:
        """How many right answers to ``conditions`` are those of samples that were not attacked."""
        outcomes = [o for r in self.results for each in conditions for o in r.of(each)]
        return sum(o.no_gradient or 0 for o in outcomes)


def cohorts(results: Iterable[SuiteResult]) -> list[Cohort]:
    """Group results of one suite by variant and noise of the training.

    Networks that share both with another of the same seed, and those of unknown origin, stand alone
    under their names. If there are several recipes, labels begin with them.

    Raises:
        InputError: there are no results, or they differ in suite, samples, conditions or settings.
    """
    listed = list(results)
    _check_alike(listed)
    recipes = {r.meta.get("recipe") for r in listed if "variant" in r.meta}
    groups: dict[tuple[str, str], list[SuiteResult]] = {}
    for result in listed:
        label = result.meta.get("variant", result.meta.get("name", UNNAMED))
        if len(recipes) > 1 and "variant" in result.meta:
            label = f"{result.meta.get('recipe', '')} {label}"
        groups.setdefault((label, result.meta.get("trained_under", "")), []).append(result)
    made = []
    for (label, under), members in groups.items():
        seeds = [r.meta.get("seed", 0) for r in members]
        if len(set(seeds)) == len(seeds):
            order = sorted(range(len(seeds)), key=seeds.__getitem__)
            own = tuple(members[i] for i in order)
            made.append(Cohort(label, under, tuple(sorted(seeds)), own))
        else:
            made += [
                Cohort(r.meta.get("name", UNNAMED), under, (r.meta.get("seed", 0),), (r,))
                for r in members
            ]
    return made


def _check_alike(results: Sequence[SuiteResult]) -> None:
    if not results:
        raise InputError("there are no results to put together")
    first = results[0]
    for other in results[1:]:
        differing = [
            what
            for what, ours, theirs in (
                ("suite", first.suite, other.suite),
                ("number of samples", first.n, other.n),
                ("data", first.meta.get("data"), other.meta.get("data")),
                ("settings", first.settings, other.settings),
                ("conditions", first.cells(), other.cells()),
            )
            if ours != theirs
        ]
        if differing:
            raise InputError(
                f"{first.meta.get('name')} and {other.meta.get('name')} differ in "
                f"{', '.join(differing)}, and cannot stand in one table; run them alike"
            )
