"""How the style networks were trained: by which weight of the style, and for how many steps.

IN networks are trained by every weight, then by the chosen one for every number of steps, and
measured on the validation photographs, which nothing is trained or tested on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_json
from robust.device import choose_device
from robust.metrics import METRICS
from robust.report.progress import progress_bar
from robust.report.table import Cell, Table
from robust.studies.sections import put_section
from robust.studies.style_runs import Training, train_networks
from robust.training.style import NETWORK
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import VALIDATION, validation
from styletransfer.losses.choose import loss_network, name_of
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.zoo import load_network

RESULTS = "style-training.json"
SHARE = 0.5
"""The style loss that a weight has to reach, as a share of that of the photographs themselves."""

ABOUT = """## How the style networks were trained

Made by `python scripts/studies/style_training.py`. IN networks, seed 0, batches of {batch},
measured on the {photographs} validation photographs by {network}; nothing here saw a test picture.

**The weight of the style** is the smallest in the table that brings the style loss to {share:.0%}
of what the photographs themselves have, after {steps:,} steps. Then the texture is there, and as
much of the photograph as goes with it. (content / style loss; chosen in bold)

{weights}

**The number of steps**, by the chosen weight. Each column is a training of its own, as the learning
rate falls to its end. (content / style loss, their weighted total)

{curve}

The last doubling still lowers the total by {gain}, so that more steps
would paint better. The number of a shipped network stands in its file."""


@dataclass(frozen=True)
class Trained:
    """One training, measured on the validation photographs.

    Attributes:
        style: name of the drawn style.
        weight: of the style loss.
        steps: of the training.
        content, style_loss: mean losses.
        grid: mean grid energy.
    """

    style: str
    weight: float
    steps: int
    content: float
    style_loss: float
    grid: float

    @property
    def total(self) -> float:
        """Content loss plus the weighted style loss."""
        return self.content + self.weight * self.style_loss


def chosen_weight(trained: Iterable[Trained], photograph: float) -> float:
    """The smallest weight whose style loss is at most ``SHARE`` of the photograph's own.

    Raises:
        InputError: none is.
    """
    trained = list(trained)
    enough = [run.weight for run in trained if run.style_loss <= SHARE * photograph]
    if not enough:
        best = min(trained, key=lambda run: run.style_loss)
        raise InputError(
            f"{best.style}: no weight brings the style loss to {SHARE * photograph:.3f}; weight "
            f"{best.weight:g} comes nearest, to {best.style_loss:.3f}. Try greater weights"
        )
    return min(enough)


def study(
    docs: Path,
    *,
    runs: Path,
    styles: Sequence[str],
    weights: Sequence[float],
    steps: Sequence[int],
    curve_of: Sequence[str],
    batch_size: int,
    loss: str,
    jobs: int,
    device: str,
) -> None:
    """Train what is missing, and write the data and the section.

    Args:
        docs: folder of the pages and of the data.
        runs: folder of the trainings.
        styles: names of drawn styles.
        weights: that are tried, with the first of ``steps``.
        steps: lengths of trainings.
        curve_of: those of the styles that are trained for each length.
        batch_size: images a step.
        loss: the loss network.
        jobs: trainings at a time.
        device: "cpu", "cuda", …
    """
    common = {"batch_size": batch_size, "norm": "in", "precision": "bfloat16", "loss_network": loss}

    def trained(cells: Sequence[tuple[str, float, int]]) -> list[Trained]:
        planned = [
            Training(
                runs / f"{style}-{weight:g}-{count}",
                common | {"style": style, "style_weight": weight, "steps": count},
            )
            for style, weight, count in cells
        ]
        with progress_bar() as bar:
            task = bar.add_task("style networks", total=len(planned), note="")
            for _ in train_networks(planned, jobs=jobs, device=device):
                bar.advance(task)
        return [
            measured(training.folder / NETWORK, *cell, device=device)
            for training, cell in zip(planned, cells, strict=True)
        ]

    first = trained([(style, weight, steps[0]) for style in styles for weight in weights])
    alone = {style: photograph_loss(style, loss, device) for style in styles}
    chosen = {
        style: chosen_weight([run for run in first if run.style == style], alone[style])
        for style in styles
    }
    longest_first = sorted(steps, reverse=True)
    lengths = [(style, chosen[style], n) for n in longest_first for style in curve_of]
    curve = sorted(trained(lengths), key=lambda run: (styles.index(run.style), run.steps))
    data = {
        "batch_size": batch_size,
        "loss_network": name_of(loss),
        "photographs": alone,
        "weights": [asdict(run) for run in first],
        "chosen": chosen,
        "curve": [asdict(run) for run in curve],
    }
    write_json(docs / RESULTS, data)
    put_section(docs, "style-training", section(data))


@torch.no_grad()
def measured(network: Path, style: str, weight: float, steps: int, *, device: str) -> Trained:
    """The training that wrote ``network``; its losses stand in the file."""
    loaded, _ = load_network(network)
    pictures = loaded.to(choose_device(device))(torch.stack(validation()).to(device))
    grid = METRICS["grid_energy"].compute(pictures).mean().item()
    losses = load_meta(network)["validation"]
    return Trained(style, weight, steps, losses["content"], losses["style"], grid)


@torch.no_grad()
def photograph_loss(style: str, choice: str, device: str) -> float:
    """The mean style loss of the validation photographs as they are."""
    loss = PerceptualLoss(loss_network(choice), draw_style(style)).to(choose_device(device))
    found = (loss(x, x) for x in (photo[None].to(device) for photo in validation()))
    return fmean(terms.style.item() for terms in found)


def section(data: Mapping[str, Any]) -> str:
    """The page that shows ``data``."""
    weights = [Trained(**run) for run in data["weights"]]
    curve = [Trained(**run) for run in data["curve"]]
    return ABOUT.format(
        batch=data["batch_size"],
        photographs=len(VALIDATION),
        network=data["loss_network"],
        share=SHARE,
        steps=weights[0].steps,
        weights=_weights_table(weights, data["photographs"], data["chosen"]).markdown(),
        curve=_curve_table(curve).markdown(),
        gain=" and ".join(_last_gains(curve)),
    )


def _last_gains(runs: Sequence[Trained]) -> list[str]:
    """By how much the longest training of each style is better than the one before."""
    gains = []
    for style in dict.fromkeys(run.style for run in runs):
        *_, before, last = sorted((r for r in runs if r.style == style), key=lambda r: r.steps)
        gains.append(f"{100 * (1 - last.total / before.total):.1f} % ({style})")
    return gains


def _weights_table(
    runs: Sequence[Trained], alone: Mapping[str, float], chosen: Mapping[str, float]
) -> Table:
    columns = list(dict.fromkeys(run.weight for run in runs))
    found = {(run.style, run.weight): f"{run.content:.2f} / {run.style_loss:.3f}" for run in runs}
    rows: list[list[str | Cell]] = [
        [
            style,
            f"{alone[style]:.3f}",
            *(Cell(found[style, w], "best" if w == chosen[style] else "") for w in columns),
        ]
        for style in chosen
    ]
    return Table(["style", "photographs", *(f"{weight:g}" for weight in columns)], rows)


def _curve_table(runs: Sequence[Trained]) -> Table:
    columns = sorted({run.steps for run in runs})
    found = {
        (run.style, run.steps): f"{run.content:.2f} / {run.style_loss:.3f}, {run.total:.3f}"
        for run in runs
    }
    styles = list(dict.fromkeys(run.style for run in runs))
    rows = [[style, *(found[style, count] for count in columns)] for style in styles]
    return Table(["style", *(f"{count:,} steps" for count in columns)], rows)
