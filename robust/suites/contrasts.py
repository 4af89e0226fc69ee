"""What a suite's results say about variants: paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asr_core.asr.gate import CONTROLS
from robust.stats.compare import Comparison, compare
from robust.suites.cohort import Cohort
from robust.suites.condition import CLEAN, Condition

RIVALS = ("plain", "const", *(f"{control}(" for control in CONTROLS))
"""How the labels of variants begin that the others are compared with: plain, and the controls."""


@dataclass(frozen=True)
class Contrast:
    """One comparison of two variants.

    Attributes:
        situation: "clean", "constant, attacked", …
        trained_under: the noise of both networks' training; "" for none.
        a: label of one variant.
        b: label of the other.
        comparison: of their accuracies.
    """

    situation: str
    trained_under: str
    a: str
    b: str
    comparison: Comparison


def situations(conditions: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Group conditions: clean ones by statistics, all severities of a kind, without controls."""
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        if condition.kind == CLEAN.kind:
            groups[f"clean, {condition.statistics} statistics"] = [condition]
        elif not condition.is_control:
            kind, comma, statistics = condition.situation.partition(",")
            groups.setdefault(f"{kind}, attacked{comma}{statistics}", []).append(condition)
    return groups


def contrasts(
    groups: Sequence[Cohort],
    *,
    situations_of: Callable[[Sequence[Condition]], Mapping[str, Sequence[Condition]]] = situations,
) -> list[Contrast]:
    """Each variant against each of :data:`RIVALS` of the same training, by situation.

    Without a rival, all are compared with the first variant. Accuracies that are only upper bounds,
    for lack of gradients, are not compared.

    Args:
        groups: cohorts of one suite.
        situations_of: groups the suite's conditions by name.
    """
    pairs = []
    for under in dict.fromkeys(group.trained_under for group in groups):
        alike = [group for group in groups if group.trained_under == under]
        rivals = [group for group in alike if group.label.startswith(RIVALS)] or alike[:1]
        for situation, conditions in situations_of(alike[0].results[0].cells()).items():
            for rival in rivals:
                for group in alike:
                    seeds = [seed for seed in group.seeds if seed in rival.seeds]
                    mutual = group in rivals and alike.index(group) < alike.index(rival)
                    if group is rival or mutual or not seeds:
                        continue
                    if group.no_gradient(conditions) or rival.no_gradient(conditions):
                        continue  # an upper bound cannot be compared
                    comparison = compare(
                        group.right(conditions, seeds),
                        rival.right(conditions, seeds),
                        names=(group.label, rival.label),
                    )
                    pairs.append(Contrast(situation, under, group.label, rival.label, comparison))
    return pairs
