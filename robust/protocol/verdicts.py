"""The verdict on each endpoint, from what was declared and what was measured, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_core.errors import InputError
from robust.protocol.declared import Declaration, Endpoint, require_declared
from robust.protocol.scores import Findings, Score, StyleLoss
from robust.stats.answer import Answer, answer_to, answer_to_equality, holm
from robust.stats.intervals import OVER_BOTH, Interval, mean_interval, p_value
from robust.stats.share import share_of

NARROW = 0.9
ALPHA = 0.05
_Table = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The answer to an endpoint's claim.

    Attributes:
        endpoint: as declared.
        answer: the answer.
        interval: the estimate with its 95 % interval, in the endpoint's unit; None if not measured.
        narrow: the same with its 90 % interval.
        p: adjusted for all endpoints; 1 where nothing is decided.
        seeds: training seeds of each side.
        spread: standard deviation of the differences between seeds; None for a share.
        note: why there is no verdict.
    """

    endpoint: Endpoint
    answer: Answer
    interval: Interval | None = None
    narrow: Interval | None = None
    p: float = 1.0
    seeds: int = 0
    spread: float | None = None
    note: str = ""


@dataclass(frozen=True)
class _Estimate:
    """An endpoint before the correction; ``p`` of no effect, or where equality is claimed of it."""

    interval: Interval
    narrow: Interval
    p: float
    seeds: int
    spread: float | None
    decides: bool
    note: str = ""


def decide(declaration: Declaration, findings: Findings) -> list[Verdict]:
    """The verdicts, in the order of the protocol.

    Supported and, of a claim of equality, contradicted need the corrected p below 0.05 as well as
    the interval.

    Raises:
        InputError: seeds or test images deviate from the declaration; both values are named.
    """
    estimates = [_estimate(declaration, each, findings) for each in declaration.protocol.endpoints]
    adjusted = holm(
        # what decides nothing must not lower the others'
        [each.p if isinstance(each, _Estimate) and each.decides else 1.0 for each in estimates]
    )
    return [
        Verdict(endpoint, Answer.NOT_TESTED, note=found)
        if isinstance(found, str)
        else Verdict(
            endpoint,
            _answer(endpoint, found, p),
            found.interval,
            found.narrow,
            p,
            found.seeds,
            found.spread,
            found.note,
        )
        for endpoint, found, p in zip(
            declaration.protocol.endpoints, estimates, adjusted, strict=True
        )
    ]


def _answer(endpoint: Endpoint, found: _Estimate, p: float) -> Answer:
    if not found.decides:
        return Answer.NOT_TESTED
    wide, narrow = found.interval, found.narrow
    if endpoint.equal:
        middle = endpoint.middle
        wide, narrow = _moved(wide, -middle), _moved(narrow, -middle)
        answer = answer_to_equality(wide, narrow=narrow, margin=endpoint.margin)
        return Answer.INCONCLUSIVE if answer is Answer.CONTRADICTED and p >= ALPHA else answer
    answer = answer_to(wide, narrow=narrow, margin=endpoint.margin, published=endpoint.published)
    if wide.leaves_zero_out and p >= ALPHA:
        alike = answer_to_equality(wide, narrow=narrow, margin=endpoint.margin)
        return alike if alike is Answer.EQUIVALENT else Answer.INCONCLUSIVE
    return answer


def _moved(interval: Interval, by: float) -> Interval:
    low, high = (None if end is None else end + by for end in (interval.low, interval.high))
    return Interval(interval.mean + by, low, high, interval.over, interval.error)


def _estimate(declaration: Declaration, endpoint: Endpoint, findings: Findings) -> _Estimate | str:
    """The estimate, or why there is none."""
    if endpoint.on == "style":
        return (
            _style(endpoint, findings.style) if findings.style else "no style networks were given"
        )
    if endpoint.on == "noise":
        if not any(score.on == "pilot" for score in findings.scores):
            return "not measured"
        severity = chosen_severity(declaration, findings.scores)
        if severity is None:
            rule = declaration.protocol.noise
            return (
                f"no severity of {', '.join(rule.severities)} leaves plain networks "
                f"{rule.low:.0%} to {rule.high:.0%}"
            )
        sides = [(endpoint.a, severity), (endpoint.b, severity)]
    elif endpoint.on == "freezing":
        sides = [(endpoint.a, "before"), (endpoint.a, "after")]
    else:
        sides = [(endpoint.a, ""), (endpoint.b, "")]
    a, b = (_side(declaration, endpoint, findings.scores, arm, at) for arm, at in sides)
    if not a and not b:
        return "not measured"
    counts = [declaration.protocol.seeds_of(arm, declaration.seeds) for arm, _ in sides]
    for (arm, _), found, declared in zip(sides, (a, b), counts, strict=True):
        if not set(found) <= set(range(declared)):
            require_declared(
                f"endpoint {endpoint.name!r}, {arm}",
                {"seeds": sorted(found)},
                {"seeds": list(range(declared))},
            )
        if len(found) < declared:  # nothing is told of a part, which could be chosen
            return f"{len(found)} of {declared} seeds of {arm} finished"
    count = min(counts)
    gaps = 100 * np.array([[a[seed] - b[seed]] for seed in range(count)])
    middle = endpoint.middle
    wide, narrow = mean_interval(gaps), mean_interval(gaps, level=NARROW)
    least, spread = declaration.protocol.least, float(gaps.std(ddof=1))
    note = f"{count} seeds; a verdict needs {least}" if count < least else ""
    return _Estimate(wide, narrow, p_value(gaps - middle), count, spread, not note, note)


def _side(
    declaration: Declaration, endpoint: Endpoint, scores: Sequence[Score], arm: str, detail: str
) -> dict[int, float]:
    """Seed -> accuracy of an arm under the endpoint's condition."""
    found: dict[int, float] = {}
    for score in scores:
        if (score.arm, score.on, score.detail) != (arm, endpoint.on, detail):
            continue
        require_declared(
            f"endpoint {endpoint.name!r}, {arm}, seed {score.seed}",
            {"split": score.split, "test images": score.images},
            {"split": declaration.protocol.split, "test images": declaration.data.sizes[2]},
        )
        if score.seed in found:
            raise InputError(f"endpoint {endpoint.name!r}: {arm} has seed {score.seed} twice")
        found[score.seed] = score.top1
    return found


def chosen_severity(declaration: Declaration, scores: Sequence[Score]) -> str | None:
    """The severity that leaves the pilot's plain networks nearest to the middle, on validation.

    None where none leaves them between the rule's ends.

    Raises:
        InputError: the pilot's seeds are not those declared.
    """
    rule, means = declaration.protocol.noise, {}
    for severity in rule.severities:
        own = {
            score.seed: score.top1
            for score in scores
            if (score.arm, score.on, score.detail) == ("plain", "pilot", severity)
        }
        declared = {"seeds": list(range(declaration.pilot))}
        require_declared(f"pilot, severity {severity}", {"seeds": sorted(own)}, declared)
        means[severity] = float(np.mean(list(own.values())))
    middle = (rule.low + rule.high) / 2
    within = [s for s, mean in means.items() if rule.low <= mean <= rule.high]
    return min(within, key=lambda severity: abs(means[severity] - middle), default=None)


def _style(endpoint: Endpoint, losses: Sequence[StyleLoss]) -> _Estimate | str:
    """The share of IN's advantage over BN that BN+ASR brings back, in %; or why there is none."""
    seeds = sorted({loss.seed for loss in losses})
    images = list(dict.fromkeys(loss.image for loss in losses))
    by_place = {(loss.seed, loss.image): loss for loss in losses}
    if len(by_place) != len(losses) or len(losses) != len(seeds) * len(images):
        raise InputError(
            f"style: {len(losses)} losses of {len(seeds)} seeds and {len(images)} pictures; each "
            "seed needs each picture once"
        )

    def table(name: str) -> _Table:
        return np.array([[getattr(by_place[s, i], name) for i in images] for s in seeds])

    part, whole = table("batch") - table("ours"), table("batch") - table("instance")
    shares = [share_of(part, whole, level=level) for level in (0.95, NARROW)]
    if shares[0].share is None:
        return "IN is not seen to have an advantage over BN, so that there is no share of it"
    lacking = part - endpoint.middle / 100 * whole
    error = mean_interval(lacking).error
    error = None if error is None else 100 * error / shares[0].advantage.mean
    wide, narrow = (
        Interval(100 * share.share, _hundred(share.low), _hundred(share.high), over, error)
        for share in shares
        if share.share is not None and (over := share.advantage.over)
    )
    over = wide.over
    note = "" if over == OVER_BOTH else f"{len(seeds)} training seed: the interval is over {over}"
    return _Estimate(wide, narrow, p_value(lacking), len(seeds), None, not note, note)


def _hundred(end: float | None) -> float | None:
    return None if end is None else 100 * end


def as_data(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """As JSON-able data."""
    return [
        {
            "endpoint": each.endpoint.name,
            "answer": each.answer,
            "unit": each.endpoint.unit,
            "published": each.endpoint.published,
            "margin": each.endpoint.margin,
            "interval": _ends(each.interval),
            "narrow": _ends(each.narrow),
            "smallest_visible": each.interval.visible if each.interval else None,
            "p": each.p,
            "seeds": each.seeds,
            "note": each.note,
        }
        for each in verdicts
    ]


def _ends(interval: Interval | None) -> Mapping[str, float | None] | None:
    if interval is None:
        return None
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
