"""Views of a summary: headlines, a short table, and the details behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from robust.norm_noise.severity import BatchNoise, parse_severity
from robust.report.table import Table
from robust.stats.intervals import Interval
from robust.stats.share import COMPARABLE
from robust.style.names import (
    LPIPS_TO_IN,
    NORM_TITLES,
    OTHER_SEED,
    OWN_STATISTICS,
    PRIMARY,
    SHARED,
    TITLES,
    formula_of,
)
from robust.style.results import CLEAN
from robust.style.situations import percent_of, spread_out

SHOWN_ATTACKS = 2
_SHORT = {PRIMARY: "loss", "style_loss": "style", "content_loss": "content", LPIPS_TO_IN: "LPIPS"}
_DETAILED = (*SHARED, "spread")
_MOST = 0.5

ABOUT = (
    "Loss is the training objective, {formula}: what a network was asked for. Style loss is how "
    "far a picture's texture and colours are from the style's, content loss how far its shapes "
    "are from the photograph's; a picture can be better in one for being worse in the other, as "
    "a photograph left alone has no content loss. LPIPS is how different a picture looks from "
    "the one by the clean IN network of the same training seed; even another IN network has "
    "some. Blur and grid energy are faults that are seen without a reference: lost edges, and a "
    "pattern of pixels that upsampling leaves. Less is better in all. The share is what a "
    "variant X brings back of IN's advantage over BN in the same situation, (BN - X) / (BN - "
    'IN): 0 % is no better than BN, 100 % as good as IN, and "comparable to IN" is at least '
    "{comparable:.0%}. It has a 95 % Fieller set over training seeds and photographs, and is "
    "not defined where BN is not seen to be worse than IN. BN (n = 1) is BN on each picture's "
    "own statistics, so that its norms compute what IN's do. The gates of BN+frozen and "
    "BN+const learn nothing: what they bring back is due to the gates' initial scale."
)
"""What stands for what; with the loss's formula and the share that counts as comparable."""


def print_report(summary: dict[str, Any], console: Console, *, verbose: bool = False) -> None:
    """Print a summary made by :func:`robust.style.summary.summarise`."""
    for headline in summary["headlines"]:
        console.print(Text(headline, style="bold"))
    console.print(table(summary).rich())
    if not verbose:
        return
    console.print(Text(about(summary)))
    console.print(details(summary).rich())
    for situation, sentences in answers(summary).items():
        console.print(Text(f"{situation}:", style="bold"))
        for sentence in sentences:
            console.print(Text(f"  {sentence}"))


def markdown(summary: dict[str, Any]) -> str:
    """All of it as Markdown."""
    lines = [f"**{headline}**\n" for headline in summary["headlines"]]
    lines += [table(summary).markdown(), details(summary).markdown()]
    for situation, sentences in answers(summary).items():
        lines += [f"*{situation}*", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)


def about(*summaries: dict[str, Any]) -> str:
    """What the numbers of runs stand for, in one paragraph."""
    formulas = dict.fromkeys(_formula(summary) for summary in summaries)
    return ABOUT.format(formula=" or ".join(formulas), comparable=COMPARABLE)


def answers(summary: dict[str, Any]) -> dict[str, list[str]]:
    """A sentence for each share, by situation: clean, each attack, all attacks of a noise."""
    found: dict[str, list[str]] = {}
    for share in summary["shares"]:
        found.setdefault(share["situation"], []).append(share["sentence"])
    return found


def table(summary: dict[str, Any]) -> Table:
    """The means in 80 columns: each variant clean, and under two attacks a noise."""
    shown = [metric for metric in _SHORT if _measured(summary, metric)]
    noises = {cell["noise"] for cell in summary["cells"]} - {CLEAN}
    rows: list[list[str]] = []
    rules = []
    for norm in dict.fromkeys(cell["norm"] for cell in summary["cells"]):
        rules.append(len(rows))
        for cell in _shown_cells(summary, norm):
            means = [cell["metrics"].get(metric, {}).get("mean") for metric in shown]
            rows.append(
                [
                    _title(norm),
                    _label(cell, norm, noises),
                    *("" if mean is None else f"{mean:.2f}" for mean in means),
                    _share(summary, cell, norm),
                ]
            )
    return Table(
        (
            "variant",
            f"{noises.pop()} noise" if len(noises) == 1 else "noise",
            *(_SHORT[metric] for metric in shown),
            "brings back, %",
        ),
        rows,
        words=2,
        caption=" ".join(_caption(summary)),
        rules=rules[1:],
    )


def details(summary: dict[str, Any]) -> Table:
    """Means with intervals: variants under equal noise stand together, clean first."""
    cells = summary["cells"]
    shown = [metric for metric in _DETAILED if _measured(summary, metric)]
    noises = list(dict.fromkeys((cell["noise"], cell["severity"]) for cell in cells))
    noises.sort(key=lambda key: key[0] != CLEAN)
    rows: list[list[str]] = []
    rules = []
    for key in noises:
        alike = [cell for cell in cells if (cell["noise"], cell["severity"]) == key]
        rules.append(len(rows))
        rows += [
            [_title(cell["norm"]), cell["label"], cell["statistics"]]
            + [_number(cell["metrics"].get(metric)) for metric in shown]
            for cell in sorted(alike, key=lambda cell: cell["norm"] == OTHER_SEED)
        ]
    overs = {
        interval["over"]
        for cell in cells
        for metric, interval in cell["metrics"].items()
        if metric in shown and interval["low"] is not None
    }
    return Table(
        ("norm", "noise", "statistics", *(TITLES[metric] for metric in shown)),
        rows,
        words=3,
        caption=f"means ± half of the 95 % interval over {' / '.join(sorted(overs)) or 'nothing'}",
        rules=rules[1:],
    )


def _measured(summary: dict[str, Any], metric: str) -> bool:
    return any(metric in cell["metrics"] for cell in summary["cells"])


def _shown_cells(summary: dict[str, Any], norm: str) -> Iterator[dict[str, Any]]:
    """Clean, BN's control, and two attacks a noise; IN does not see the companions of a batch."""
    cells = [cell for cell in summary["cells"] if cell["norm"] == norm]
    attacks: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["noise"] == CLEAN:
            yield cell
        elif parse_severity(cell["noise"], cell["severity"]).is_control:
            if norm == "bn":
                yield cell
        elif norm != "in" or cell["noise"] != BatchNoise.noise:
            attacks.setdefault(cell["noise"], []).append(cell)
    for of_noise in attacks.values():
        yield from spread_out(of_noise, SHOWN_ATTACKS)


def _label(cell: dict[str, Any], norm: str, noises: set[str]) -> str:
    """As short as can be: the noise itself only where there are several."""
    if cell["noise"] != CLEAN:
        severity = parse_severity(cell["noise"], cell["severity"])
        label = "n = 1, own" if cell["severity"] == "1" else severity.label
        return label if len(noises) == 1 else f"{cell['noise']}, {label}"
    return "any n" if norm == "in" and BatchNoise.noise in noises else CLEAN


def _share(summary: dict[str, Any], cell: dict[str, Any], norm: str) -> str:
    situation = cell["label"]
    if norm == "bn" and cell["severity"] == "1":
        situation, norm = CLEAN, OWN_STATISTICS
    found = [
        share
        for share in summary["shares"]
        if (share["situation"], share["variant"], share["metric"]) == (situation, norm, PRIMARY)
        and share["against"] is None
    ]
    return percent_of(found[0]).replace(" %", "") if found else ""


def _caption(summary: dict[str, Any]) -> Iterator[str]:
    seeds, images = len(summary["seeds"]), len(summary["images"])
    network = summary.get("loss_network")  # runs from before it was said here have none
    by = f", by {network}" if network else ""
    yield (
        f"Means over {seeds} training seed{'s' * (seeds > 1)} and {images} "
        f"photograph{'s' * (images > 1)}; loss = {_formula(summary)}{by}; share "
        "of IN's advantage in it over BN is brought back, with the 95 % interval."
    )
    own = [
        share
        for share in summary["shares"]
        if share["variant"] == OWN_STATISTICS and share["metric"] == PRIMARY
    ]
    if own and own[0]["share"] is not None:
        brings = f"on each picture's own (n = 1) it brings back {percent_of(own[0])}."
        mostly = own[0]["low"] is not None and own[0]["low"] > _MOST
        yield (
            f"Most of BN's deficit is in its running statistics: {brings}"
            if mostly
            else f"BN's deficit is not seen to be mostly in its running statistics: {brings}"
        )


def _formula(summary: dict[str, Any]) -> str:
    loss = summary["loss"]
    return formula_of(loss["content_weight"], loss["style_weight"])


def _title(norm: str) -> str:
    return "IN, other seed" if norm == OTHER_SEED else NORM_TITLES.get(norm, norm)


def _number(interval: dict[str, Any] | None) -> str:
    if interval is None:
        return ""
    return "equal" if interval["mean"] is None else Interval(**interval).plus_minus(3)
