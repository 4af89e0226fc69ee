"""The summary of a run: means with intervals, and the shares of IN's advantage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from robust.norm_noise import parse_severity
from robust.stats.answer import Answer
from robust.stats.intervals import OVER_BOTH, Interval, mean_interval
from robust.stats.share import COMPARABLE, Share, share_of
from robust.style.measure import PRIMARY, SHARED, TITLES
from robust.style.objective import Objective
from robust.style.results import CLEAN, Results, Treatment

SCHEMA = 2
QUESTION = "What share of IN's advantage over BN does ASR bring back?"
ATTACKED = "attacked"
OURS = "bn+asr"
CONTROLS = {"bn+frozen": "the frozen gate", "bn+const": "a constant gate"}
OWN_STATISTICS = "bn (n = 1)"
"""The variant of the shares that is BN, not attacked, on the picture's own statistics."""

NORM_TITLES = {
    "in": "IN",
    "bn": "BN",
    OURS: "BN+ASR",
    "bn+frozen": "BN+frozen",
    "bn+const": "BN+const",
    OWN_STATISTICS: "BN (n = 1)",
}
_Key = tuple[str, str]
_Tables = dict[int, np.ndarray]


def summarise(
    results: Results, objective: Objective | None = None, *, loss_network: str = ""
) -> dict[str, Any]:
    """The run as JSON-able data: ``cells`` (means with intervals) and ``shares``.

    Args:
        results: of the run.
        objective: that ``loss`` is measured by; None for the defaults of training.
        loss_network: name of the loss network, for captions.
    """
    shares = list(_shares(results))
    return {
        "schema": SCHEMA,
        "question": QUESTION,
        "loss": (objective or Objective()).as_dict(),
        "loss_network": loss_network,
        "headlines": list(headlines(shares)),
        "images": results.images,
        "seeds": results.seeds,
        "cells": [
            {
                **cell._asdict(),
                "label": label_of(cell.noise, cell.severity),
                "metrics": {
                    metric: _mean(values)
                    for metric in results.metrics()
                    if (values := results.values(cell, metric)) is not None
                },
            }
            for cell in results.cells()
        ],
        "shares": shares,
    }


def label_of(noise: str, severity: str) -> str:
    """A noise and its severity as tables show them."""
    return CLEAN if noise == CLEAN else f"{noise}, {parse_severity(noise, severity).label}"


def headlines(shares: list[dict[str, Any]]) -> Iterator[str]:
    """The answer in one sentence for each noise, by the primary metric; for clean without any."""
    primary = [share for share in shares if share["metric"] == PRIMARY]
    attacked = [s for s in dict.fromkeys(s["situation"] for s in primary) if s.endswith(ATTACKED)]
    for situation in attacked or [CLEAN]:
        alone = {
            share["variant"]: share
            for share in primary
            if share["situation"] == situation and share["against"] is None
        }
        where = (
            f"under {situation.split(',')[0]} noise" if situation != CLEAN else "on clean pictures"
        )
        if OURS not in alone:
            yield f"No answer {where}: the run lacks IN, BN or BN+ASR of one training seed."
        elif alone[OURS]["share"] is None:
            yield (
                f"{where[0].upper()}{where[1:]} IN is not seen to have an advantage over BN "
                f"({PRIMARY}: {_signed(alone[OURS]['advantage'])}), so there is none to bring back."
            )
        else:
            others = [
                f"{name} {percent_of(alone[control])}"
                for control, name in CONTROLS.items()
                if control in alone
            ]
            said = {
                Answer.SUPPORTED: 'supports "comparable to IN"',
                Answer.CONTRADICTED: 'contradicts "comparable to IN"',
                Answer.INCONCLUSIVE: 'inconclusive whether "comparable to IN"',
                Answer.NOT_TESTED: "one seed and one picture give no interval",
            }[Answer(alone[OURS]["answer"])]
            over = alone[OURS]["advantage"]["over"]
            reach = "" if over == OVER_BOTH else f", over {over}"
            yield (
                f"BN+ASR brings back {percent_of(alone[OURS])} of IN's advantage {where} "
                f"({PRIMARY}{reach}): {said}" + "".join(f"; {other}" for other in others) + "."
            )


def percent_of(share: dict[str, Any]) -> str:
    """A share of the summary, such as "4 % [-12, 20]"."""
    advantage = Interval(**share["advantage"])
    return Share(share["share"], share["low"], share["high"], advantage).percent


def _mean(values: np.ndarray) -> dict[str, Any]:
    """Mean and interval; a mean that is not finite (PSNR of equal pictures) has none."""
    if not np.isfinite(values).all():
        return {"mean": None, "low": None, "high": None, "over": "equal pictures, or missing ones"}
    return asdict(mean_interval(values))


def _shares(results: Results) -> Iterator[dict[str, Any]]:
    """Clean, under each attack, and under all attacks of a noise together, metric by metric."""
    norms = dict.fromkeys(cell.norm for cell in results.cells())
    variants = [norm for norm in norms if norm in NORM_TITLES and norm not in ("in", "bn")]
    for situation, keys in _situations(results.cells()).items():
        for metric in SHARED:
            tables = {
                norm: _tables(results, norm, metric, keys) for norm in ("in", "bn", *variants)
            }
            if keys == [(CLEAN, "")]:
                tables[OWN_STATISTICS] = _tables(results, "bn", metric, [("batch", "1")])
            for variant in [v for v in tables if v not in ("in", "bn")]:
                paired = _paired(tables, ("in", "bn", variant))
                if paired is not None:
                    instance, batch, ours = paired
                    yield _entry(situation, metric, variant, None, batch - ours, batch - instance)
            for control in CONTROLS:
                paired = _paired(tables, ("in", "bn", OURS, control))
                if paired is not None:
                    instance, batch, ours, theirs = paired
                    yield _entry(situation, metric, OURS, control, theirs - ours, batch - instance)


def _situations(cells: Iterable[Treatment]) -> dict[str, list[_Key]]:
    """The severities of each situation; controls are none, they belong to the clean one."""
    situations: dict[str, list[_Key]] = {CLEAN: [(CLEAN, "")]}
    for noise, severity in dict.fromkeys((cell.noise, cell.severity) for cell in cells):
        if noise != CLEAN and not parse_severity(noise, severity).is_control:
            situations[label_of(noise, severity)] = [(noise, severity)]
            situations.setdefault(f"{noise}, {ATTACKED}", []).append((noise, severity))
    return situations


def _entry(
    situation: str,
    metric: str,
    variant: str,
    against: str | None,
    part: np.ndarray,
    advantage: np.ndarray,
) -> dict[str, Any]:
    share = share_of(part, advantage)
    answer = share.above(COMPARABLE if against is None else 0.0)
    if share.advantage.over != OVER_BOTH and answer is not Answer.NOT_TESTED:
        answer = Answer.INCONCLUSIVE  # a claim about the method: another training may differ
    return {
        "situation": situation,
        "metric": metric,
        "variant": variant,
        "against": against,
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "answer": answer,
        "sentence": f"{TITLES[metric]}: {_sentence(share, answer, variant, against)}",
        "advantage": asdict(share.advantage),
    }


def _sentence(share: Share, answer: Answer, variant: str, against: str | None) -> str:
    ours = NORM_TITLES[variant]
    if share.share is None:
        advantage = _signed(asdict(share.advantage))
        return f"no share for {ours}, as IN is not seen to have an advantage ({advantage})"
    if against is None:
        words = {
            Answer.SUPPORTED: ": comparable to IN",
            Answer.CONTRADICTED: ": not comparable to IN",
            Answer.INCONCLUSIVE: ": inconclusive whether comparable to IN",
        }
        return f"{ours} brings back {share.percent} of IN's advantage{words.get(answer, '')}"
    theirs = NORM_TITLES[against]
    words = {
        Answer.SUPPORTED: f"{ours} brings back more than {theirs}",
        Answer.CONTRADICTED: f"{ours} brings back less than {theirs}",
    }
    claim = words.get(answer, f"inconclusive whether {ours} brings back more than {theirs}")
    return f"{claim}: the difference is {share.percent} of IN's advantage"


def _signed(advantage: dict[str, Any]) -> str:
    interval = Interval(**advantage)
    ends = ""
    if interval.low is not None and interval.high is not None:
        ends = f" [{interval.low:.3g}, {interval.high:.3g}]"
    return f"BN - IN = {interval.mean:.3g}{ends}"


def _tables(results: Results, norm: str, metric: str, keys: list[_Key]) -> _Tables | None:
    """A norm's values by training seed, (images,), their mean over the severities."""
    found: list[_Tables] = []
    for noise, severity in keys:
        cells = [c for c in results.cells() if c.norm == norm and c[1:3] == (noise, severity)]
        values = results.by_seed(cells[0], metric) if cells else {}
        if not values:
            return None
        found.append(values)
    seeds = set.intersection(*map(set, found))
    return {seed: np.mean([values[seed] for values in found], axis=0) for seed in seeds}


def _paired(tables: dict[str, _Tables | None], names: Iterable[str]) -> list[np.ndarray] | None:
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
