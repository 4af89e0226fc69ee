"""The style networks under all three noises: what is run, and the section "style"."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from asr_core.saving.files import atomic_path
from robust.norm_noise import NOISES
from robust.stats.answer import Answer, answer_to, over_cases
from robust.stats.intervals import Interval, mean_interval
from robust.studies.paper import Line, put_lines
from robust.studies.sections import put_section
from robust.style.folder import GRID, METRICS, RUN, SUMMARY
from robust.style.measure import PRIMARY
from robust.style.report import about, markdown
from robust.style.summary import ATTACKED, NORM_TITLES, OURS, percent_of
from styletransfer.images.drawn import STYLES

ABOUT = """## Style networks under normalisation noise

Made by `python scripts/studies/style.py` from the networks that ship with the package; every number
comes from the run's `summary.json`. "Attacked" takes all severities of a noise together, without
controls. The pool has 15 photographs: a batch of 16 takes them all, so its draws are equal and
its spread is 0 by construction.
"""


NOISE_OPTIONS = {noise: f"--noise {noise}" for noise in NOISES}
NOISE_OPTIONS["random"] += " --granularity layer"
"""The shown numbers are of one draw for all images; the command draws for each image anew."""


def run(
    style: str, noise: str, folder: Path, *, full: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary and the facts of an attack, which is run if ``folder`` has none."""
    if not (folder / SUMMARY).exists():
        command = [sys.executable, "-m", "robust", "attack", "--style", style]
        command += [
            *NOISE_OPTIONS[noise].split(),
            "--out",
            str(folder),
            "--overwrite",
            *(["--full"] if full else []),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / SUMMARY).read_text()), json.loads((folder / RUN).read_text())


def overview(summaries: Mapping[str, dict[str, Any]]) -> str:
    """The headline of each run, and what the numbers stand for."""
    said = [f"- {name}: {line}" for name, s in summaries.items() for line in s["headlines"]]
    words = [about(summary) for summary in summaries.values()][:1]
    return "\n".join(["### In short\n", *said, "", *words]) + "\n"


def lines(summaries: Mapping[str, dict[str, Any]], blur: Mapping[str, Interval]) -> list[Line]:
    """The claims of appendix G on its three noises: were they seen?

    Args:
        summaries: of the runs, by "STYLE, NOISE noise".
        blur: of BN under batch noise more than of IN, by style.
    """
    found = ", ".join(
        f"{style} {gap.mean:+.3f} [{gap.low:.3f}, {gap.high:.3f}]" for style, gap in blur.items()
    )
    said = [
        Line(
            "Fig. 14–16",
            "under batch noise BN's pictures are blurrier than IN's",
            "robust attack --full --noise batch",
            over_cases(map(answer_to, blur.values())),
            f"more blur, all severities: {found}",
        )
    ]
    for noise in NOISES:
        shares = {
            name.split(",")[0]: brought_back(summary, noise)
            for name, summary in summaries.items()
            if name.endswith(f", {noise} noise")
        }
        answers = [Answer(of[OURS]["answer"]) for of in shares.values() if OURS in of]
        found = "; ".join(
            f"{style}: "
            + ", ".join(f"{NORM_TITLES[norm]} {percent_of(share)}" for norm, share in of.items())
            for style, of in shares.items()
        )
        said.append(
            Line(
                "Fig. 14–16" if noise == "batch" else "appendix G",
                f"under {noise} noise ASR brings BN back to IN",
                f"robust attack --full {NOISE_OPTIONS[noise]}",
                over_cases(answers),
                f"share of IN's advantage in the loss, {found}",
            )
        )
    return said


def brought_back(summary: Mapping[str, Any], noise: str) -> dict[str, dict[str, Any]]:
    """By variant, its share under all attacks of ``noise``, in the primary metric."""
    return {
        share["variant"]: share
        for share in summary["shares"]
        if share["situation"] == f"{noise}, {ATTACKED}"
        and share["metric"] == PRIMARY
        and share["against"] is None
    }


def more_blur(metrics: Path) -> Interval:
    """Of BN than of IN under batch noise: paired, over training seeds and images.

    The mean over draws and severities, the control of one image a batch left out.
    """
    values: dict[str, dict[tuple[str, str, str], list[float]]] = {"bn": {}, "in": {}}
    with metrics.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            attacked = row["noise"] == "batch" and row["severity"] != "1"
            if attacked and row["metric"] == "blur" and row["norm"] in values:
                # draws are averaged in each severity: IN, which has none, has one row there
                key = row["seed"], row["image"], row["severity"]
                values[row["norm"]].setdefault(key, []).append(float(row["value"]))
    gaps: dict[tuple[str, str], list[float]] = {}
    for key, found in values["bn"].items():
        gaps.setdefault(key[:2], []).append(fmean(found) - fmean(values["in"][key]))
    seeds, images = (sorted({key[i] for key in gaps}) for i in (0, 1))
    return mean_interval([[fmean(gaps[seed, image]) for image in images] for seed in seeds])


def picture_of(folder: Path, target: Path, *, reduce: int = 1) -> None:
    """Write the grid of a run as ``target``, at 1 / ``reduce`` of its size."""
    with atomic_path(target) as temporary:
        grid = Image.open(folder / GRID).convert("RGB")
        grid.reduce(reduce).save(temporary, quality=85)


def study(runs: Path, docs: Path) -> None:
    """Make what is missing of the runs, and the section and its pictures."""
    quick = runs / "quick"
    run("mosaic", "batch", quick, full=False)
    picture_of(quick, docs / "attack-batch.jpg")
    parts = [ABOUT]
    summaries = {}
    for style in STYLES:
        for noise in NOISES:
            folder = runs / f"{style}-{noise}"
            summary, facts = run(style, noise, folder)
            summaries[f"{style}, {noise} noise"] = summary
            picture = f"{style}-{noise}.jpg"
            picture_of(folder, docs / picture, reduce=2)
            versions = facts["environment"]["versions"]
            parts.append(
                f"### {style}, {noise} noise\n\n"
                f"`robust attack --full --style {style} {NOISE_OPTIONS[noise]}`: "
                f"{len(facts['images'])} images, {facts['draws']} draws, {facts['seconds']:.0f} s, "
                f"torch {versions['torch']}. Grid: [{picture}]({picture})\n\n{markdown(summary)}"
            )
    parts.insert(1, overview(summaries))
    put_section(docs / "RESULTS.md", "style", "\n".join(parts))
    blur = {s: more_blur(runs / f"{s}-batch" / METRICS) for s in STYLES}
    put_lines(docs, "style", lines(summaries, blur))
