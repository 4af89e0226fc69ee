"""The style networks under all three noises: what is run, and the section "style"."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
from robust.style.report import markdown
from styletransfer.images.drawn import STYLES

ABOUT = """## Style networks under normalisation noise

Made by `python scripts/studies/style.py` from the networks that ship with the package; every number
comes from the run's `summary.json`. Content and style loss are relative (0 is perfect), blur is
`skimage.measure.blur_effect`, SSIM is to the clean output of the IN network of the same training
seed; the row "IN, other seed" is its ceiling. Verdicts compare how far a variant's mean lies from
the clean IN network's, paired over training seeds and images; "attacked" takes all severities of
a noise together, without controls. The pool has 15 photographs: a batch of 16 takes them all, so
its draws are equal and its spread is 0 by construction.

How to train (loss, style weight, batch size, crop sizes) was chosen by looking at these same
held-out pictures, in a few trial networks; there was no validation split. All variants share the
choice, but absolute values are optimistic. The pictures are six crops of three photographs.
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


def overview(summaries: dict[str, dict[str, Any]]) -> str:
    """How many of all verdicts, single severities included, see a difference, and which."""
    distinct: dict[
        tuple[str, ...], tuple[str, dict[str, Any]]
    ] = {}  # the clean pictures of a style are measured in each of its runs
    for name, summary in summaries.items():
        for verdict in summary["verdicts"]:
            key = (name.split(",")[0], verdict["situation"], verdict["against"], verdict["metric"])
            distinct.setdefault(key, (name, verdict))
    count, chance = len(distinct), 0.05 * len(distinct)
    seen = [
        f"- {name}; {verdict['situation']}: {verdict['sentence']}"
        for name, verdict in distinct.values()
        if answer_of(verdict).leaves_zero_out
    ]
    return (
        f"### In short\n\n{len(seen)} of {count} verdicts, single severities included, see a "
        f"difference at 95 % (chance alone would give about {chance:.0f}):\n\n" + "\n".join(seen)
    ) + "\n"


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
        verdicts = [
            verdict
            for name, summary in summaries.items()
            for verdict in summary["verdicts"]
            if name.endswith(f", {noise} noise") and verdict["situation"] == f"{noise}, attacked"
        ]
        found = "; ".join(
            f"than {rival.upper().replace('CONST', 'const')}: {counted(verdicts, rival)}"
            for rival in ("bn", "bn+const")
        )
        said.append(
            Line(
                "Fig. 14–16" if noise == "batch" else "appendix G",
                f"under {noise} noise ASR brings BN back to IN",
                f"robust attack --full {NOISE_OPTIONS[noise]}",
                over_cases(answer_of(v) for v in verdicts if v["against"] == "bn"),
                f"closer to IN {found}",
            )
        )
    return said


def answer_of(verdict: Mapping[str, Any]) -> Answer:
    """The answer to a verdict of a ``summary.json``, by its numbers."""
    return answer_to(Interval(*(verdict[key] for key in ("mean", "low", "high", "over"))))


def counted(verdicts: Sequence[dict[str, Any]], rival: str) -> str:
    """Of the verdicts against ``rival``, how many see it closer, and how many farther."""
    answers = [answer_of(verdict) for verdict in verdicts if verdict["against"] == rival]
    farther = answers.count(Answer.CONTRADICTED)
    return f"{answers.count(Answer.SUPPORTED)} of {len(answers)} verdicts" + (
        f", farther {farther}" if farther else ""
    )


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
