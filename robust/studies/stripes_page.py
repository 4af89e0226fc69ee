"""docs/results/stripes.md: figures and verdicts of the study's runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from asr_core.recipes import load_recipe
from robust.report.table import Table
from robust.stats.answer import Answer, over_cases
from robust.stripes.measure import Convergence
from robust.studies.paper import Line

STRIPED = 0.1
"""A layer has stripes below this score: images differ by less than a third of what channels do."""

PAPER_DOSE = load_recipe("resnet83-cifar100").decay_dose(50_000 // 128)
"""Σ learning rate × weight decay of the paper's runs: what may drive gates to constants."""

ENOUGH = 0.5
"""A claim about trained networks is decided by runs of at least this share of the paper's dose."""

SETTLED = 0.95
"""The share of gates from which on a network counts as converged."""

SHOWN = {
    "stripes-se.png": ("base", "stripes"),
    "stripes-ie.png": ("ie", "stripes"),
    "stripes-resnet29.png": ("deeper", "stripes"),
    "stripes-cosine.png": ("cosine", "stripes"),
    "stripes-other-data.png": ("other-data", "stripes"),
    "stripes-longer.png": ("longer", "stripes"),
    "stripe-scores-longer.png": ("longer", "stripe-scores"),
    "differences-longer.png": ("longer", "differences"),
    "differences-se.png": ("base", "differences"),
    "differences-ie.png": ("ie", "differences"),
    "differences-cosine.png": ("cosine", "differences"),
    "differences-decay-4e-4.png": ("decay-4e-4", "differences"),
    "scales-asr-se.png": ("asr", "scales"),
    "spatial-cbam.png": ("cbam", "spatial"),
}
"""Name in docs/gallery -> run, and picture of it."""

ABOUT = """## Stripes: is attention the same for every image?

Made by `python scripts/studies/stripes.py`: small networks and few epochs on the embedded patches
(the paper: ResNet83 and ResNet164, CIFAR100 and STL10, 164 epochs), one seed a row; Fig. 6–13 and
17–24. `--recipe resnet83-cifar100 --data-folder DIR` makes the paper's set where its data is.

The stripe score of a layer is the variance of a channel's gate between images, over the variance
between channels: 0 is a perfect stripe, at 1 images differ as much as channels. It is taken on 100
test images; a layer counts as striped below {striped}. *Untrained* is the same network before its
first step; *in training* is the score after the first epoch, the lowest after any, and the last, of
the median layer on the 8 recorded validation images, which are fewer and so have other scores. A
gate has settled after epoch t if it changes by less than {threshold:g} in every epoch after;
figures are over all channels of those 8 images.
"""

HEAD = (
    "run", "test top-1, %", "stripe score, median layer (range)", "striped layers", "untrained",
    "in training", "95 % settled after", "settled at the first decay",
    "median change before → after it",
)  # fmt: skip


@dataclass(frozen=True)
class RunFigures:
    """The figures of a run.

    Attributes:
        title: what was trained.
        scores: stripe score by layer; empty where it has no live channel gates.
        untrained: the same before training.
        by_epoch: the median layer's score after each epoch; empty without a record.
        convergence: of its live gates; None where it has none.
        top1: test accuracy of the last epoch, in [0, 1].
        moved: ASR's v: the mean over channels of |v after the last epoch − v after the first|;
            None without a record of it.
        beside: the same of the live network's gates, means over images.
        dose: Σ learning rate × weight decay of its training.
        spatial: of spatial attention, by block: the variance between images over that between
            places.
    """

    title: str
    scores: Mapping[str, float]
    untrained: Mapping[str, float]
    convergence: Convergence | None
    top1: float
    dose: float
    by_epoch: Sequence[float] = ()
    moved: float | None = None
    beside: float | None = None
    spatial: Mapping[str, float] = field(default_factory=dict)


def page(
    runs: Mapping[str, RunFigures], *, cost: tuple[float, float] | None, missing: Sequence[str] = ()
) -> str:
    """The section.

    Args:
        runs: by the name of the run.
        missing: names of the set's runs that are not among them.
        cost: processor seconds of recording an epoch, and seconds of training one.
    """
    live = {name: each for name, each in runs.items() if each.scores}
    threshold = next((f.convergence.threshold for f in live.values() if f.convergence), math.nan)
    parts = [
        ABOUT.format(striped=STRIPED, threshold=threshold),
        Table(HEAD, map(_row, live.values())).markdown(),
        "\n".join([*map(_said, lines(runs)), *_scales(runs)]) + "\n",
    ]
    if cost is not None:
        share = cost[0] / cost[1]
        parts.append(
            f"Recording an epoch took {cost[0] * 1000:.0f} ms of processor time, {share:.2%} of "
            f"the {cost[1]:.0f} s by the clock that training it took.\n"
        )
    if missing:
        parts.append(f"Not run here, though the command offers them: {', '.join(missing)}.\n")
    shown = [(target, *place) for target, place in SHOWN.items() if place[0] in runs]
    parts += [
        f"![{runs[name].title}: {picture}](gallery/{target})\n" for target, name, picture in shown
    ]
    return "\n".join(parts)


def striped(scores: Mapping[str, float]) -> int:
    """How many layers have stripes."""
    return sum(score < STRIPED for score in scores.values())


def _row(run: RunFigures) -> list[str]:
    scores, converged = list(run.scores.values()), run.convergence
    path = run.by_epoch
    cells = [
        run.title,
        f"{100 * run.top1:.1f}",
        f"{statistics.median(scores):.2g} ({min(scores):.2g} to {max(scores):.2g})",
        f"{striped(run.scores)} of {len(scores)}",
        f"{statistics.median(run.untrained.values()):.2g}" if run.untrained else "",
        f"{path[0]:.2g}, {min(path):.2g}, {path[-1]:.2g}" if path else "",
    ]
    if converged is None:
        cells += ["", "", ""]
    else:
        at = converged.at_decay
        cells += [
            "not settled" if converged.settled is None else f"epoch {converged.settled}",
            "" if at is None else f"{at:.1%}",
            "" if at is None else f"{converged.before_decay:.3f} → {converged.after_decay:.3f}",
        ]
    return cells


def _said(line: Line) -> str:
    return f"- {line.shows}, {line.claim}: **{line.answer}**; {line.found}."


def _scales(runs: Mapping[str, RunFigures]) -> list[str]:
    """How far ASR's v moved, beside live gates."""
    return [
        f"- v of {each.title} moved by {each.moved:.3f} (mean over channels) from the first epoch "
        f"to the last, test top-1 {100 * each.top1:.1f} %; the live network's gates, means over "
        f"images, by {each.beside:.3f}."
        for each in runs.values()
        if each.moved is not None and each.beside is not None
    ]


def lines(runs: Mapping[str, RunFigures]) -> list[Line]:
    """The paper's claims on these figures: were they seen?

    They are about long trainings: runs of a smaller dose leave them open, whatever they show.
    """
    doses = [each.dose / PAPER_DOSE for each in runs.values()]
    if not doses or max(doses) >= ENOUGH:
        return _lines(runs)
    short = f"; trained to {_range(doses)} of the paper's Σ lr·wd"
    return [
        replace(line, answer=Answer.INCONCLUSIVE, found=line.found + short) for line in _lines(runs)
    ]


def _lines(runs: Mapping[str, RunFigures]) -> list[Line]:
    live = [each for each in runs.values() if each.scores]
    said = [_stripes(live)] if live else []
    shares = {
        name: each.convergence.at_decay
        for name, each in runs.items()
        if each.convergence is not None and each.convergence.at_decay is not None
    }
    if shares:
        said.append(_settling(list(shares.values())))
    decays = [name for name in ("base", "decay-2e-4", "decay-3e-4", "decay-4e-4") if name in shares]
    if len(decays) > 1:
        said.append(_weight_decay([shares[name] for name in decays]))
    said += [_spatial(each) for each in runs.values() if each.spatial]
    return said


def _stripes(live: Sequence[RunFigures]) -> Line:
    layers = [score for each in live for score in each.scores.values()]
    whole = [each for each in live if striped(each.scores) == len(each.scores)]
    return Line(
        "Fig. 17–23",
        "a channel's attention is the same for every image (stripes)",
        "robust stripes RUN",
        over_cases(each in whole for each in live),
        f"in {len(whole)} of {len(live)} networks all layers are striped; of all {len(layers)} "
        f"layers {sum(score < STRIPED for score in layers)} score below {STRIPED:g}, the median "
        f"one {statistics.median(layers):.2g}",
    )


def _settling(shares: Sequence[float]) -> Line:
    settled = [share for share in shares if share >= SETTLED]
    rest = [share for share in shares if share < SETTLED]
    others = f", in the others {_range(rest)}" if rest else ""
    return Line(
        "Fig. 6–9, 11–13",
        "most attention values have converged at the first decay of the learning rate (the text "
        "says 30 epochs, Table 2 has it at 81)",
        "robust train --record-attention; robust stripes RUN",
        over_cases(share >= SETTLED for share in shares),
        f"in {len(settled)} of {len(shares)} networks at least {SETTLED:.0%} of gates stay put "
        f"from it on{others}; what moves later does so at a tenth of the learning rate and less",
    )


def _weight_decay(shares: Sequence[float]) -> Line:
    rises = all(a <= b for a, b in pairwise(shares))
    listed = ", ".join(f"{share:.1%}" for share in shares)
    return Line(
        "Fig. 11–13",
        "larger weight decay settles gates sooner",
        "robust train --weight-decay 4e-4 --record-attention",
        Answer.SUPPORTED if rises else Answer.INCONCLUSIVE,
        f"settled at the first decay, from the least weight decay to the greatest: {listed}; one "
        "seed each",
    )


def _spatial(run: RunFigures) -> Line:
    scores = list(run.spatial.values())
    return Line(
        "Fig. 24",
        "spatial attention differs from image to image",
        "robust stripes RUN",
        over_cases(score >= STRIPED for score in scores),
        f"{run.title}: variance between six images over that between places, block by block: "
        + ", ".join(f"{score:.2g}" for score in scores),
    )


def _range(shares: Sequence[float]) -> str:
    low, high = min(shares), max(shares)
    return f"{low:.1%}" if len(shares) == 1 else f"{low:.1%} to {high:.1%}"
