"""The tables of an attack, with what their numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from robust.report.page.style_plots import title_of
from robust.report.page.values import Block, Shown, Text
from robust.report.table import Table
from robust.stats.answer import Answer
from robust.stats.intervals import Interval
from robust.style.names import LPIPS_TO_IN, PRIMARY, TITLES, formula_of
from robust.style.report import about, details, table
from robust.style.situations import percent_of

_SOURCE = {
    PRIMARY: ("{formula}: what the networks were trained for", ""),
    "style_loss": (
        "mean over layers of ½‖μ(y) − μ(s)‖² / ‖μ(s)‖² + ½‖Σ(y) − Σ(s)‖² / ‖Σ(s)‖², of the "
        "channels' means μ and covariances Σ of picture y and style s",
        "After Johnson et al. 2016, eq. 4; robust: styletransfer.losses.perceptual.",
    ),
    "content_loss": (
        "mean square of f(y) − f(x) over the mean square of f(s), of the features f of picture y, "
        "photograph x and style s",
        "After Johnson et al. 2016, eq. 2; robust: styletransfer.losses.perceptual.",
    ),
    LPIPS_TO_IN: (
        "learned perceptual distance to the clean IN picture of the same training seed",
        "Zhang et al. 2018, version 0.1, AlexNet; robust: robust.metrics.lpips.",
    ),
    "blur": (
        "how little a picture loses when it is blurred again; 0 sharp, 1 blurred",
        "Crete et al. 2007; robust: robust.metrics.blur.",
    ),
    "grid_energy": (
        "spectral energy at periods of 2 and 4 pixels over that of neighbouring frequencies; "
        "about 1 without a grid",
        "robust: robust.metrics.grid.",
    ),
    "spread": ("standard deviation over draws of the noise, mean over the pixels", ""),
}


def note_of(share: dict[str, Any]) -> str:
    """The smallest visible effect beside what is open."""
    if share["share"] is None:
        visible = Interval(**share["advantage"]).visible
        return (
            ""
            if visible is None
            else f"an advantage of {visible:.2g} would have been seen (80 % power)"
        )
    if share["answer"] != Answer.INCONCLUSIVE or share.get("visible") is None:
        return ""
    return f"smallest visible effect: {100 * share['visible']:.0f} % of IN's advantage"


def tables_of(summary: dict[str, Any]) -> Iterator[Block]:
    """Means, changes, shares, every severity, and what they stand for."""
    loss = summary["loss"]
    formula = formula_of(loss["content_weight"], loss["style_weight"])
    by = f", by {summary['loss_network']}" if summary.get("loss_network") else ""
    terms = [
        (TITLES[name], text.format(formula=formula + by), source)
        for name, (text, source) in _SOURCE.items()
        if any(name in cell["metrics"] for cell in summary["cells"])
    ]
    share = (
        "share brought back",
        "(BN − X) / (BN − IN), with its 95 % set, over training seeds and photographs",
        "Fieller 1954; robust: robust.stats.share.",
    )
    interval = (
        "interval",
        "two-way crossed random effects: holds for other training seeds and other photographs",
        "Banerjee 1960; robust: robust.stats.intervals.",
    )
    visible = (
        "smallest visible effect",
        "what such a 95 % interval tells from nothing with 80 % power",
        "robust: robust.stats.power.",
    )
    yield Shown(table(summary), "Means", [*terms, share, interval])
    if summary.get("changes"):
        yield Shown(_changes(summary), "Change from clean", [*terms[:1], interval, visible])
    yield Shown(_shares(summary), "Shares of IN's advantage", [*terms[:1], share, visible])
    yield Shown(details(summary), "Every severity", [*terms, interval])
    yield Text([about(summary)])


def _changes(summary: dict[str, Any]) -> Table:
    rows = []
    for change in summary["changes"]:
        found, visible = change["change"], change["visible"]
        ends = "" if found["low"] is None else f"{found['low']:+.4f} to {found['high']:+.4f}"
        sure = found["low"] is not None and (found["low"] > 0 or found["high"] < 0)
        word = "rises" if sure and found["low"] > 0 else "falls" if sure else "not seen to change"
        rows.append(
            (
                title_of(change["variant"]), change["situation"], TITLES[change["metric"]], word,
                f"{change['clean']['mean']:.4f}", f"{change['attacked']['mean']:.4f}",
                f"{found['mean']:+.4f}", ends, "" if sure or visible is None else f"{visible:.4f}",
            )
        )  # fmt: skip
    head = (
        "variant", "noise", "measure", "answer", "clean", "attacked", "change", "95 % interval",
        "smallest visible",
    )  # fmt: skip
    return Table(head, rows, words=3, caption="paired over training seeds and photographs")


def _shares(summary: dict[str, Any]) -> Table:
    rows = [
        (
            title_of(share["variant"]),
            title_of(share["against"]) if share["against"] else "90 %",
            share["situation"],
            TITLES[share["metric"]],
            str(share["answer"]),
            percent_of(share),
            note_of(share).rpartition(": ")[2],
        )
        for share in summary["shares"]
    ]
    head = ("variant", "more than", "situation", "measure", "answer", "share", "smallest visible")
    return Table(head, rows, words=4, caption="of IN's advantage over BN in the same situation")
