"""Does ASR train better classifiers? Five seeds of five variants on the embedded patches.

Trains what is missing, measures the cost of a step and of inference side by side, and writes the
section "classification" of docs/RESULTS.md.

    python scripts/study_classification.py [--runs runs/classification] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from results_page import put_section
from study_runs import Cell, run_missing
from torch import nn

from asr_core import fold_model, fuse_asr
from asr_core.files import write_json
from asr_core.models import build
from asr_core.recipes import load_recipe
from robust.intervals import mean_interval
from robust.speed import timed

RECIPE = "resnet29-embedded"
OPTIONS = ("--recipe", RECIPE, "--precision", "bf16", "--channels-last")
VARIANTS = {
    "plain": ("plain", "se"),
    "live-se": ("live", "se"),
    "asr-se": ("asr", "se"),
    "both-se": ("both", "se"),
    "asr-const": ("asr", "const"),
}
"""Name -> mode and attention of `robust train`."""
TITLES = {
    "plain": "plain",
    "live-se": "SE, live",
    "asr-se": "ASR(SE), fused",
    "both-se": "ASR(SE) + live SE",
    "asr-const": "gate frozen at its start, fused",
}
PAIRS = (
    ("live-se", "plain"),
    ("asr-se", "plain"),
    ("both-se", "live-se"),
    ("asr-const", "plain"),
    ("asr-se", "asr-const"),
    ("asr-se", "live-se"),
)
ABOUT = """## Classification: does ASR train better networks?

Made by `python scripts/study_classification.py`: {recipe} ({epochs} epochs, {options}),
{seeds} seeds of each variant, each seed with the same order and augmentation of the data for all
variants. Accuracy is that of the *last* epoch on the test patches ({images} of them, from other
regions of the pictures than those trained on), of the fused file where there is something to fuse;
nothing was chosen by it. ± is half the 95 % t interval over seeds. The gate frozen at its initial
value learns nothing: it tells what attention learns from what its initial scale does.
"""


def cells(runs: Path, seeds: int) -> dict[tuple[str, int], Cell]:
    return {
        (name, seed): Cell(
            runs / f"{name}-{seed}",
            (*OPTIONS, "--mode", mode, "--attention", attention, "--seed", str(seed)),
        )
        for seed in range(seeds)
        for name, (mode, attention) in VARIANTS.items()
    }


def accuracies(done: Mapping[tuple[str, int], Cell], seeds: int) -> dict[str, NDArray[np.float64]]:
    """Test top-1 of the last epoch, in points: (seeds,) of each variant."""
    return {
        name: np.array([100 * done[name, seed].result["test"]["top1"] for seed in range(seeds)])
        for name in VARIANTS
    }


def plus_minus(values: Sequence[float] | NDArray[np.float64], *, sign: str = "") -> str:
    interval = mean_interval(np.asarray(values)[:, None])
    if interval.low is None or interval.high is None:
        return f"{interval.mean:{sign}.2f}"
    return f"{interval.mean:{sign}.2f} ± {(interval.high - interval.low) / 2:.2f}"


def verdict(top1: Mapping[str, NDArray[np.float64]], one: str, other: str) -> str:
    """A line on the difference of two variants, paired over seeds."""
    gap = top1[one] - top1[other]
    interval = mean_interval(gap[:, None])
    said = f"{TITLES[one]} against {TITLES[other]}: {plus_minus(gap, sign='+')} points"
    if interval.low is None or interval.high is None:
        return f"- {said}; one seed cannot tell."
    if interval.low > 0:
        return f"- {said}: more accurate."
    return f"- {said}: " + ("less accurate." if interval.high < 0 else "no difference seen.")


def costs(*, rounds: int, batch_size: int, size: int) -> dict[str, dict[str, float]]:
    """Seconds of processor time of a training step, and of inference, in turns.

    The variants take turns within a round, so that the machine's moods reach all of them.
    """
    recipe = load_recipe(RECIPE)
    torch.manual_seed(0)
    images = torch.rand(batch_size, 3, size, size)
    labels = torch.randint(18, (batch_size,))
    models = {
        name: build(recipe.backbone, 18, mode=mode, attention=attention)
        for name, (mode, attention) in VARIANTS.items()
    }
    optimizers = {name: torch.optim.SGD(m.parameters(), recipe.lr) for name, m in models.items()}
    steps: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            start = time.process_time()
            nn.functional.cross_entropy(model.train()(images), labels).backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            if turn:
                steps[name].append(time.process_time() - start)
    shown = {name: fuse_asr(m) if "asr" in VARIANTS[name] else m for name, m in models.items()}
    shown["both-se"] = fuse_asr(models["both-se"])
    shown["folded"] = fold_model(models["asr-se"])
    times = timed([model.eval() for model in shown.values()], images, rounds=rounds)
    inference = dict(zip(shown, map(statistics.median, times), strict=True))
    return {
        "step": {name: statistics.median(seconds) for name, seconds in steps.items()},
        "inference": inference,
    }


def page(
    done: Mapping[tuple[str, int], Cell], seeds: int, measured: Mapping[str, Mapping[str, float]]
) -> str:
    top1 = accuracies(done, seeds)
    step, inference = measured["step"], measured["inference"]
    lines = [
        "| variant | test top-1, % | top-5, % | against plain, points | step | inference |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        top5 = [100 * done[name, seed].result["test"]["top5"] for seed in range(seeds)]
        gap = "" if name == "plain" else plus_minus(top1[name] - top1["plain"], sign="+")
        lines.append(
            f"| {title} | {plus_minus(top1[name])} | {plus_minus(top5)} | {gap} | "
            f"{step[name] / step['plain']:.2f} | {inference[name] / inference['plain']:.2f} |"
        )
    some = done["plain", 0]
    about = ABOUT.format(
        recipe=f"`{RECIPE}`",
        epochs=some.config["recipe"]["epochs"],
        options="forward and backward in bfloat16, evaluation in float32",
        seeds=seeds,
        images=some.result["test"]["images"],
    )
    epoch = statistics.median(
        done["plain", seed].seconds / some.config["recipe"]["epochs"] for seed in range(seeds)
    )
    notes = (
        f"Training step and inference are ratios to plain, medians of {measured['rounds']} turns "
        f"side by side in one process on one thread, float32, batches of {measured['batch']}; an "
        f"epoch of the plain network took {epoch:.0f} s. ASR(SE) with its batch norms folded away "
        f"too: inference {inference['folded'] / inference['plain']:.2f}."
    )
    verdicts = "\n".join(verdict(top1, one, other) for one, other in PAIRS)
    return f"{about}\n" + "\n".join(lines) + f"\n\n{notes}\n\n{verdicts}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/classification"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="turns of the timing")
    options = parser.parse_args()
    done = cells(options.runs, options.seeds)
    if failures := run_missing(list(done.values()), workers=options.workers, say="classification"):
        sys.exit("\n".join(failures))
    torch.set_num_threads(1)
    size = load_recipe(RECIPE).image_size
    figures: dict[str, Any] = costs(rounds=options.rounds, batch_size=64, size=size)
    figures |= {"rounds": options.rounds, "batch": 64}
    write_json(options.runs / "costs.json", figures)
    put_section(options.docs / "RESULTS.md", "classification", page(done, options.seeds, figures))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
