"""Results of suites made up for tests: which samples are right is drawn, nothing is run."""

from __future__ import annotations

from typing import Any

import torch

from robust.suites import CLEAN, Condition, Outcome, SuiteResult

FOG = tuple(Condition("fog", severity, repeat) for severity in (1, 2) for repeat in (0, 1))
DATA = {"name": "tiny", "split": "test", "images": 60}


def made_up(
    variant: str,
    seed: int,
    share: float,
    *,
    conditions: tuple[Condition, ...] = FOG,
    fog: float = 0.5,
    suite: str = "weather",
    n: int = 60,
    **meta: Any,
) -> SuiteResult:
    """A model right about ``share`` of the samples when clean, ``share * fog`` under conditions."""

    def outcome(condition: Condition, expected: float) -> Outcome:
        chance = torch.Generator().manual_seed(hash((seed, condition.repeat)) % 1000)
        ease = torch.rand(n, generator=chance)
        correct = ease < expected
        return Outcome(condition, correct.double().mean().item(), 1 - expected, correct, 0.1)

    known = {"variant": variant, "seed": seed, "recipe": "tiny", "trained_under": "", "data": DATA}
    return SuiteResult(
        suite,
        {"name": f"{variant}-{seed}", **known, **meta},
        {"seed": 0},
        (outcome(CLEAN, share), *(outcome(each, share * fog) for each in conditions)),
    )
