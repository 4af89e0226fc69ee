"""The style networks under all three noises: what is run, and the section "style"."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from asr_core.saving.files import atomic_path
from robust.report.grid import Label, Picture, draw_grid
from robust.report.table import Table
from robust.stats.answer import Answer, answer_to, over_cases
from robust.stats.intervals import OVER_BOTH, Interval, mean_interval
from robust.studies.paper import Line, put_lines
from robust.studies.sections import put_section
from robust.style.folder import GRID, METRICS, RUN, SUMMARY
from robust.style.names import NORM_TITLES, OURS, PRIMARY
from robust.style.report import about, table
from robust.style.results import CLEAN, attacked_means
from robust.style.samples import PAGE_WIDTH
from robust.style.situations import ATTACKED, percent_of
from styletransfer.images.embedded import HELD_OUT, held_out
from styletransfer.zoo import load_network, select, shipped

ABOUT = """## Style networks under normalisation noise

Made by `python scripts/studies/style.py --noises {noises} --repeats {repeats}` from the
networks that ship with the package, on {images} photographs on which nothing was trained or chosen.
Losses are measured by {network}. Every number comes from a run's `summary.json`; every measurement
is in its `metrics.csv`.

Training seeds: {seeds}. With one, intervals are over photographs only: another seed may differ, so
that claims about the method stay inconclusive.

{about}

### What is brought back of IN's advantage

"Attacked" takes all severities of a noise together, without controls. The answer is to the paper's
claim that BN+ASR is comparable to IN.

{shares}"""


def compared() -> list[str]:
    """The shipped styles that have the norms that the question is about, by several seeds."""
    found: dict[str, set[tuple[str, int]]] = {}
    for network in shipped():
        found.setdefault(network.style, set()).add((network.norm, network.seed))
    wanted = {(norm, seed) for norm in ("in", "bn", OURS) for seed in (0, 1)}
    return [style for style, networks in found.items() if wanted <= networks]


def run(
    style: str, noise: str, folder: Path, *, repeats: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary and the facts of an attack, which is run if ``folder`` has none.

    It is the full one, with so many draws, or the quick one where ``repeats`` is None.
    """
    if not (folder / SUMMARY).exists():
        command = [sys.executable, "-m", "robust", *_command(style, noise, repeats).split()[1:]]
        subprocess.run(
            [*command, "--out", str(folder), "--overwrite"], check=True, stdout=subprocess.DEVNULL
        )
    return json.loads((folder / SUMMARY).read_text()), json.loads((folder / RUN).read_text())


def _command(style: str, noise: str, repeats: int | None) -> str:
    full = "" if repeats is None else " --full"
    if repeats is not None and noise != "constant":  # which has no draws
        full += f" --repeats {repeats}"
    return f"robust attack --style {style} --noise {noise}{full}"


def shares(summaries: Mapping[tuple[str, str], dict[str, Any]]) -> Table:
    """A row for each style, clean and under each noise, and a column for each variant.

    Args:
        summaries: of the runs, by style and noise.
    """
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for (style, noise), summary in summaries.items():
        for situation in (CLEAN, f"{noise}, {ATTACKED}"):
            found = {share["variant"]: share for share in _primary(summary, situation)}
            if found:
                rows.setdefault((style, situation), found)
    variants = list(dict.fromkeys(variant for found in rows.values() for variant in found))
    return Table(
        ("style", "situation", *(NORM_TITLES[variant] for variant in variants), "answer"),
        [
            [
                *key,
                *(percent_of(found[v]) if v in found else "" for v in variants),
                found[OURS]["answer"] if OURS in found else "",
            ]
            for key, found in sorted(rows.items(), key=lambda row: row[0][0])
        ],
        words=2,
    )


def _primary(summary: Mapping[str, Any], situation: str) -> Iterator[dict[str, Any]]:
    for share in summary["shares"]:
        alone = share["against"] is None and share["metric"] == PRIMARY
        if alone and share["situation"] == situation:
            yield share


def lines(
    summaries: Mapping[tuple[str, str], dict[str, Any]], blur: Mapping[str, Interval]
) -> list[Line]:
    """The claims of Fig. 14–16, on batch noise: were they seen?

    Args:
        summaries: of the runs, by style and noise.
        blur: of BN under batch noise more than of IN, by style.
    """
    found = ", ".join(
        f"{style} {gap.mean:+.3f}"
        + ("" if gap.low is None else f" [{gap.low:.3f}, {gap.high:.3f}]")
        for style, gap in blur.items()
    )
    said = [
        Line(
            "Fig. 14–16",
            "under batch noise BN's pictures are blurrier than IN's",
            "robust attack --full --noise batch",
            over_cases(map(decided, blur.values())),
            f"more blur, all severities: {found}",
        )
    ]
    ours = {
        style: share
        for (style, noise), summary in summaries.items()
        if noise == "batch"
        for share in _primary(summary, f"batch, {ATTACKED}")
        if share["variant"] == OURS
    }
    of_styles = ", ".join(
        f"{style} {percent_of(share)}, over {share['advantage']['over']}"
        for style, share in ours.items()
    )
    said.append(
        Line(
            "Fig. 14–16",
            "under batch noise ASR brings BN back to IN",
            "robust attack --full --noise batch",
            over_cases(share["answer"] for share in ours.values()),
            f"of IN's advantage: {of_styles}" if ours else "",
        )
    )
    return said


def decided(gap: Interval) -> Answer:
    """The answer that a gap gives; inconclusive where it may differ for other training seeds."""
    return answer_to(gap) if gap.over == OVER_BOTH else Answer.INCONCLUSIVE


def more_blur(metrics: Path) -> Interval:
    """Of BN than of IN under batch noise: paired, over training seeds and images.

    The mean over draws and severities, the control of one image a batch left out.
    """
    batch, instance = attacked_means(metrics, "blur", noise="batch", norms=("bn", "in")).values()
    seeds = sorted({seed for seed, _ in batch})
    images = sorted({image for _, image in batch})
    return mean_interval(
        [[batch[seed, image] - instance[seed, image] for image in images] for seed in seeds]
    )


def picture_of(folder: Path, target: Path) -> None:
    """Write the grid of a run as ``target``."""
    with atomic_path(target) as temporary:
        Image.open(folder / GRID).convert("RGB").save(temporary, quality=85)


@torch.no_grad()
def gallery(target: Path) -> None:
    """Photographs by the IN network of each shipped style, written as ``target``."""
    names = HELD_OUT[:4]
    contents = torch.stack([held_out(name) for name in names])
    rows: list[tuple[Label, list[Picture]]] = [("photograph", list(contents))]
    for network in select(shipped(), norm="in", seed=0):
        painted = load_network(network.path)[0](contents)
        rows.append((network.style, list(painted)))
    grid = draw_grid(rows, column_labels=list(names), title="", footnote="", width=PAGE_WIDTH)
    with atomic_path(target) as temporary:
        grid.convert("RGB").save(temporary, format="JPEG", quality=88)


def study(runs: Path, docs: Path, noises: Sequence[str], repeats: int) -> None:
    """Make what is missing of the runs, and the section and its pictures.

    Args:
        runs: folder of the runs.
        docs: folder of the pages.
        noises: those of the runs.
        repeats: draws of a noise that depends on chance.
    """
    styles = compared()
    gallery(docs / "styles.jpg")
    quick = runs / "quick"
    run("mosaic", "batch", quick, repeats=None)
    picture_of(quick, docs / "attack-batch.jpg")
    parts = []
    summaries = {}
    for style in styles:
        for noise in noises:
            folder = runs / f"{style}-{noise}"
            summary, facts = run(style, noise, folder, repeats=repeats)
            summaries[style, noise] = summary
            picture = f"{style}-{noise}.jpg"
            picture_of(folder, docs / picture)
            versions = facts["environment"]["versions"]
            parts.append(
                f"### {style}, {noise} noise\n\n"
                f"`{_command(style, noise, repeats)}`: {facts['seconds']:.0f} s, "
                f"torch {versions['torch']}. Pictures: [{picture}]({picture})\n\n"
                + table(summary).markdown()
            )
    head = ABOUT.format(
        noises=" ".join(noises),
        repeats=repeats,
        images=len(summary["images"]),
        seeds=len(summary["seeds"]),
        network=facts["loss_network"],
        about=about(*summaries.values()),
        shares=shares(summaries).markdown(),
    )
    put_section(docs, "style", "\n".join([head, *parts]))
    blur = {
        style: more_blur(runs / f"{style}-batch" / METRICS)
        for style in styles
        if (style, "batch") in summaries
    }
    put_lines(docs, "style", lines(summaries, blur))
