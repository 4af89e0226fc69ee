"""Verdicts by hand, and every deviation from the declaration refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from protocols import IMAGES, declared, scores
from scipy import stats

from asr_core.errors import InputError
from robust.protocol.declared import read_protocol
from robust.protocol.scores import Findings, Score, StyleLoss
from robust.protocol.verdicts import Verdict, _style, chosen_severity, decide
from robust.stats.answer import Answer

SEEDS = 12
STEPS = np.arange(SEEDS) - (SEEDS - 1) / 2
STEPS = STEPS / STEPS.std(ddof=1)
"""Differences between seeds of mean 0 and deviation 1."""
ERROR = 1 / SEEDS**0.5


def verdicts(gap: float, spread: float, **changes: Any) -> dict[str, Verdict]:
    """ASR above plain by ``gap`` points, ``spread`` between seeds; all else without effect."""
    found = scores({"asr": 70 + gap + spread * STEPS, "plain": np.full(SEEDS, 70.0)})
    return {v.endpoint.name: v for v in decide(declared(SEEDS), Findings(found, **changes))}


@pytest.mark.parametrize(
    ("gap", "spread", "answer"),
    [
        (3.0, 1.0, Answer.SUPPORTED),
        (-3.0, 1.0, Answer.CONTRADICTED),
        (0.0, 1.0, Answer.EQUIVALENT),
        (0.0, 10.0, Answer.INCONCLUSIVE),
        (-1.0, 2.0, Answer.CONTRADICTED),  # [-2.3, 0.3] holds 0, but not the published 0.97
        (0.7, 1.0, Answer.INCONCLUSIVE),  # p 0.03, 0.15 among five; [0.18, 1.2] is no margin's
        (0.3, 0.3, Answer.SUPPORTED),
    ],
)
def test_the_five_verdicts(gap: float, spread: float, answer: Answer) -> None:
    own = verdicts(gap, spread)["accuracy"]
    assert own.answer is answer
    assert own.interval is not None
    half = spread * ERROR * stats.t.ppf(0.975, SEEDS - 1)
    assert own.interval.low == pytest.approx(gap - half)
    assert own.interval.high == pytest.approx(gap + half)
    assert own.narrow is not None
    assert own.narrow.high == pytest.approx(gap + spread * ERROR * stats.t.ppf(0.95, SEEDS - 1))
    assert own.spread == pytest.approx(spread)
    alone = 2 * stats.t.sf(abs(gap) / (spread * ERROR), SEEDS - 1)
    assert own.p == pytest.approx(min(1.0, 5 * alone))


@pytest.mark.parametrize(
    ("loss", "spread", "answer"),
    [
        (0.2, 0.5, Answer.EQUIVALENT),
        (0.8, 0.1, Answer.EQUIVALENT),  # told from 0, and below the margin
        (5.0, 1.0, Answer.CONTRADICTED),
        (1.0, 3.0, Answer.INCONCLUSIVE),
        (1.2, 1.7, Answer.INCONCLUSIVE),  # p 0.03, 0.15 among five
    ],
)
def test_freezing_loses_nothing_only_within_the_margin(
    loss: float, spread: float, answer: Answer
) -> None:
    found = scores({"before": 80 + spread * STEPS, "after": np.full(SEEDS, 80 - loss)})
    (own,) = (v for v in decide(declared(SEEDS), Findings(found)) if v.endpoint.on == "freezing")
    assert own.answer is answer
    assert own.interval is not None
    assert own.interval.mean == pytest.approx(loss)


def test_what_was_not_measured_is_not_tested() -> None:
    for verdict in decide(declared(SEEDS), Findings([])):
        assert (verdict.answer, verdict.interval) == (Answer.NOT_TESTED, None)
        assert verdict.note


def test_few_seeds_give_an_estimate_and_no_verdict() -> None:
    few = 4
    found = scores({"asr": np.array([74.0, 75, 76, 77]), "plain": np.full(few, 70.0)})
    own = decide(declared(few), Findings(found))[0]
    assert (own.answer, own.note) == (Answer.NOT_TESTED, "4 seeds; a verdict needs 12")
    assert own.interval is not None
    assert own.interval.low is not None
    assert own.interval.low > 0


def test_of_a_part_of_the_seeds_nothing_is_told() -> None:
    found = [s for s in scores({"asr": 75 + STEPS, "plain": 70 + STEPS}) if s.seed != 5]
    own = decide(declared(SEEDS), Findings(found))[0]
    assert (own.interval, own.answer) == (None, Answer.NOT_TESTED)
    assert own.note == "11 of 12 seeds of asr finished"


def test_other_seeds_are_refused() -> None:
    found = scores({"asr": 75 + STEPS, "plain": 70 + STEPS})
    last = replace(found[-1], seed=12)
    with pytest.raises(
        InputError, match=r"plain.*seeds is \[0, .*, 10, 12\], declared was \[0, .*, 11\]"
    ):
        decide(declared(SEEDS), Findings([*found[:-1], last]))
    with pytest.raises(InputError, match="seed 11 twice"):
        decide(declared(SEEDS), Findings([*found, found[-1]]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": IMAGES - 1}, rf"test images is {IMAGES - 1}, declared was {IMAGES}"),
        ({"split": "validation"}, "split is 'validation', declared was 'test'"),
    ],
)
def test_another_test_set_is_refused(change: dict[str, Any], words: str) -> None:
    found = [replace(s, **change) for s in scores({"asr": 75 + STEPS, "plain": 70 + STEPS})]
    with pytest.raises(InputError, match=words):
        decide(declared(SEEDS), Findings(found))


def pilot(**accuracies: float) -> list[Score]:
    """Six plain networks at each severity, ``_1`` for 0.1."""
    return [
        Score(
            "plain", seed, "pilot", f"0.{name[1:]}", "validation", value + (seed - 2.5) / 100, 900
        )
        for name, value in accuracies.items()
        for seed in range(6)
    ]


@pytest.mark.parametrize(
    ("accuracies", "severity"),
    [
        ({"_1": 0.65, "_2": 0.45, "_4": 0.2}, "0.2"),
        ({"_1": 0.52, "_2": 0.45, "_4": 0.2}, "0.1"),
        ({"_1": 0.9, "_2": 0.75, "_4": 0.29}, None),
    ],
)
def test_the_severity_is_set_on_plain_networks(
    accuracies: dict[str, float], severity: str | None
) -> None:
    found = pilot(**accuracies)
    assert chosen_severity(declared(SEEDS), found) == severity
    for arm, value in (("asr", 50 + STEPS), ("frozen", np.full(SEEDS, 48.0))):
        found += [
            Score(arm, seed, "noise", severity or "0.2", "test", top1 / 100, IMAGES)
            for seed, top1 in enumerate(value)
        ]
    own = decide(declared(SEEDS), Findings(found))[2]
    if severity is None:
        assert own.note == "no severity of 0.1, 0.2, 0.4 leaves plain networks 30% to 70%"
    else:
        assert own.interval is not None
        assert own.interval.mean == pytest.approx(2)


def test_a_pilot_of_other_seeds_is_refused() -> None:
    found = [s for s in pilot(_1=0.5, _2=0.4, _4=0.2) if s.seed != 3]
    with pytest.raises(InputError, match=r"seeds is \[0, 1, 2, 4, 5\], declared was \[0, 1, 2, 3"):
        chosen_severity(declared(SEEDS), found)


def style(seeds: int, back: float) -> list[StyleLoss]:
    rng = np.random.default_rng(0)
    losses = []
    for seed in range(seeds):
        for image in "abcdefgh":
            instance, gain = rng.normal(0.5, 0.01), rng.normal(0.2, 0.005)
            ours = instance + gain * (1 - back) + rng.normal(0, 0.002)
            losses.append(StyleLoss(seed, image, instance, instance + gain, ours))
    return losses


@pytest.mark.parametrize(
    ("back", "answer"), [(0.95, Answer.EQUIVALENT), (0.4, Answer.CONTRADICTED)]
)
def test_the_share_of_ins_advantage(back: float, answer: Answer) -> None:
    own = verdicts(0, 1, style=style(5, back))["style"]
    assert own.answer is answer
    assert own.interval is not None
    assert own.interval.mean == pytest.approx(100 * back, abs=2)


@pytest.mark.parametrize("gain", [-0.2, 0.0])
def test_without_an_advantage_of_in_there_is_no_share(gain: float) -> None:
    """BN better than IN would be a ratio of two losses, near 100 %."""
    rng = np.random.default_rng(0)
    losses = []
    for seed in range(5):
        for image in "abcdefgh":
            instance, moved = rng.normal(0.5, 0.01), gain + rng.normal(0, 0.01)
            losses.append(StyleLoss(seed, image, instance, instance + moved, instance))
    own = verdicts(0, 1, style=losses)["style"]
    assert (own.answer, own.interval) == (Answer.NOT_TESTED, None)
    assert "no share" in own.note


@pytest.mark.parametrize("back", [0.4, 0.95])
def test_p_is_of_the_share_that_is_published(back: float) -> None:
    (own,) = [each for each in read_protocol()[0].endpoints if each.on == "style"]
    p = {}
    for share in (back, 0.7):
        found = _style(replace(own, published=100 * share), style(5, back))
        assert not isinstance(found, str)
        p[share] = found.p
    assert p[back] > 0.05
    assert p[0.7] < 0.001


def test_one_training_seed_of_style_networks_decides_nothing() -> None:
    own = verdicts(0, 1, style=style(1, 0.4))["style"]
    assert own.answer is Answer.NOT_TESTED
    assert own.p == 1, "else it would make the others' smaller"
    assert own.note == "1 training seed: the interval is over images only (one seed)"


def test_a_style_network_that_lacks_a_picture_is_refused() -> None:
    with pytest.raises(InputError, match="15 losses of 2 seeds and 8 pictures"):
        verdicts(0, 1, style=style(2, 0.4)[:-1])
