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
        label: what tables call them.
        trained_under: the noise of their training; "" for none.
        seeds: training seeds, ascending; a network of unknown origin counts as seed 0.
        results: one a seed.
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
        """How right each network is about each sample, mean over ``conditions``: (S, n).

        Args:
            conditions: of the suite, without regard to their repeats, which are averaged first.
            seeds: which, in this order; None for all.
        """
        wanted = self.seeds if seeds is None else seeds
        return np.stack(
            [
                np.mean([self._of(seed).share_right(each) for each in conditions], axis=0)
                for seed in wanted
            ]
        )

    def no_gradient(self, conditions: Sequence[Condition]) -> int:
        """How many right answers to ``conditions`` are of samples that were not attacked."""
        found = [o for r in self.results for each in conditions for o in r.of(each)]
        return sum(o.no_gradient or 0 for o in found)

    def _of(self, seed: int) -> SuiteResult:
        return self.results[self.seeds.index(seed)]


def cohorts(results: Iterable[SuiteResult]) -> list[Cohort]:
    """Put results of one suite together by variant and noise of the training.

    Networks that would share both with another of the same seed, and such of unknown origin, stand
    alone under their own names. Where there are several recipes labels begin with them.

    Raises:
        InputError: no results, of several suites, on other samples, under other conditions or
            other settings.
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
    found = []
    for (label, under), members in groups.items():
        seeds = [r.meta.get("seed", 0) for r in members]
        if len(set(seeds)) == len(seeds):
            order = sorted(range(len(seeds)), key=seeds.__getitem__)
            own = tuple(members[i] for i in order)
            found.append(Cohort(label, under, tuple(sorted(seeds)), own))
        else:
            found += [
                Cohort(r.meta.get("name", UNNAMED), under, (r.meta.get("seed", 0),), (r,))
                for r in members
            ]
    return found


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
