"""The summary of a run: means with intervals, and the shares of IN's advantage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from robust.stats.answer import Answer
from robust.stats.intervals import OVER_BOTH, Interval, mean_interval
from robust.stats.share import COMPARABLE, Share, share_of
from robust.style.changes import changes_of, holds
from robust.style.names import NORM_TITLES, OURS, OWN_STATISTICS, PRIMARY, SHARED, TITLES
from robust.style.objective import Objective
from robust.style.results import CLEAN, Results
from robust.style.situations import (
    ATTACKED,
    label_of,
    mean_of,
    paired,
    percent_of,
    situations,
    tables_of,
)

SCHEMA = 2
QUESTION = "What share of IN's advantage over BN does ASR bring back?"
CONTROLS = {"bn+frozen": "the frozen gate", "bn+const": "a constant gate"}


def summarise(
    results: Results, objective: Objective | None = None, *, loss_network: str = ""
) -> dict[str, Any]:
    """The run as JSON-able data: ``cells`` (means with intervals) and ``shares``.

    Args:
        results: of the run.
        objective: that ``loss`` is measured by; None for the defaults of training.
        loss_network: name of the loss network, for captions.
    """
    shares, changes = list(_shares(results)), list(changes_of(results))
    return {
        "schema": SCHEMA,
        "question": QUESTION,
        "loss": (objective or Objective()).as_dict(),
        "loss_network": loss_network,
        "headlines": list(headlines(shares)),
        "holds": list(holds(changes)),
        "images": results.images,
        "seeds": results.seeds,
        "cells": [
            {
                **cell._asdict(),
                "label": label_of(cell.noise, cell.severity),
                "metrics": {
                    metric: mean_of(values)
                    for metric in results.metrics()
                    if (values := results.values(cell, metric)) is not None
                },
            }
            for cell in results.cells()
        ],
        "shares": shares,
        "changes": changes,
    }


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


def _shares(results: Results) -> Iterator[dict[str, Any]]:
    """Clean, under each attack, and under all attacks of a noise together, metric by metric."""
    norms = dict.fromkeys(cell.norm for cell in results.cells())
    variants = [norm for norm in norms if norm in NORM_TITLES and norm not in ("in", "bn")]
    for situation, keys in situations(results.cells()).items():
        for metric in SHARED:
            tables = {
                norm: tables_of(results, norm, metric, keys) for norm in ("in", "bn", *variants)
            }
            if keys == [(CLEAN, "")]:
                tables[OWN_STATISTICS] = tables_of(results, "bn", metric, [("batch", "1")])
            for variant in [v for v in tables if v not in ("in", "bn")]:
                found = paired(tables, ("in", "bn", variant))
                if found is not None:
                    instance, batch, ours = found
                    yield _entry(situation, metric, variant, None, batch - ours, batch - instance)
            for control in CONTROLS:
                found = paired(tables, ("in", "bn", OURS, control))
                if found is not None:
                    instance, batch, ours, theirs = found
                    yield _entry(situation, metric, OURS, control, theirs - ours, batch - instance)


def _entry(
    situation: str,
    metric: str,
    variant: str,
    against: str | None,
    part: np.ndarray,
    advantage: np.ndarray,
) -> dict[str, Any]:
    share = share_of(part, advantage)
    threshold = COMPARABLE if against is None else 0.0
    answer = share.above(threshold)
    if share.advantage.over != OVER_BOTH and answer is not Answer.NOT_TESTED:
        answer = Answer.INCONCLUSIVE  # a claim about the method: another training may differ
    visible = mean_interval(part - threshold * advantage).visible
    if visible is not None:  # how far from the threshold a share has to be to be told from it
        visible = None if share.share is None else visible / share.advantage.mean
    return {
        "situation": situation,
        "metric": metric,
        "variant": variant,
        "against": against,
        "share": share.share,
        "low": share.low,
        "high": share.high,
        "answer": answer,
        "visible": visible,
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
