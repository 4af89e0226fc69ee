"""Are there stripes, and when do gates stop moving? What is trained and drawn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asr_core.data.split import Split
from asr_core.saving.files import atomic_path
from asr_core.stripes import AttentionRecorder, stripe_score
from asr_core.stripes.convergence import THRESHOLD
from asr_core.training import DataFacts, EpochEnd
from asr_core.training.model import new_model
from robust.stripes.draw import draw
from robust.stripes.epochs import scores_over_epochs
from robust.stripes.measure import measure, scores
from robust.stripes.source import Source, open_source
from robust.studies.command import train_missing
from robust.studies.paper import put_lines
from robust.studies.sections import put_section
from robust.studies.stripes_page import SHOWN, RunFigures, lines, page
from robust.sweep import Run
from robust.training.classifier import ClassifierRun


@dataclass(frozen=True)
class Variant:
    """A run of the set: how it differs from the base, SE in the smaller network with steps."""

    attention: str = "se"
    mode: str = "live"
    recipe: str = "recipe"
    """Which of the script's options names it: "recipe", "deeper" or "other"."""
    cosine: bool = False
    weight_decay: float = 1e-4
    share: float = 1.0
    """Of the epochs, and so of the milestones."""

    @property
    def recorded(self) -> bool:
        """Whether it has gates to record."""
        return self.attention != "cbam"


VARIANTS = {
    "base": Variant(),
    "asr": Variant(mode="asr"),
    "cbam": Variant(attention="cbam", recipe="deeper", cosine=True, share=1 / 6),
    "ie": Variant(attention="ie"),
    "cosine": Variant(cosine=True),
    "decay-4e-4": Variant(weight_decay=4e-4),
    "decay-2e-4": Variant(weight_decay=2e-4),
    "decay-3e-4": Variant(weight_decay=3e-4),
    "deeper": Variant(recipe="deeper"),
    "other-data": Variant(recipe="other"),
    "longer": Variant(share=10),
}
SECONDS = 120
"""Of a run, roughly, on one core."""


@dataclass(frozen=True)
class Setup:
    """Recipes and schedule of the set.

    Attributes:
        other: a recipe on another data set.
        data: folder of the recipes' data set.
        milestones: epochs after which the learning rate falls, with commas between them.
    """

    recipe: str = "resnet11-embedded"
    deeper: str = "resnet29-embedded"
    other: str = "resnet11-embedded-quarters"
    data: str | None = None
    epochs: int = 6
    milestones: str = "3,5"


def training(variant: Variant, setup: Setup) -> ClassifierRun:
    """What a variant trains."""
    epochs = max(1, round(setup.epochs * variant.share))
    schedule: dict[str, Any] = {"schedule": "cosine"}
    if not variant.cosine:
        milestones = [float(at) * variant.share for at in setup.milestones.split(",")]
        schedule = {"schedule": "multistep", "milestones": milestones, "gamma": 0.1}
    return ClassifierRun.from_fields(
        {
            "recipe": getattr(setup, variant.recipe),
            "mode": variant.mode,
            "attention": variant.attention,
            "record_attention": variant.recorded,
            "epochs": epochs,
            **schedule,
            "weight_decay": variant.weight_decay,
            "precision": "bf16",
            "channels_last": True,
            "data_folder": setup.data,
        }
    )


def figures_of(name: str, run: Run, beside: Source | None) -> RunFigures:
    """Draw a finished run, and take its figures."""
    source = open_source(run.folder)
    drawn = draw(
        source, source.data.test, source.folder, threshold=THRESHOLD,
        beside=beside if name == "asr" else None,
    )  # fmt: skip
    pair = name == "asr" and beside is not None
    return RunFigures(
        title=source.title,
        scores=scores(drawn.gates.values),
        untrained=_untrained(source, seed=0),
        by_epoch=_by_epoch(source),
        convergence=drawn.convergence,
        top1=run.result.test.top1,
        spatial={n: stripe_score(maps.flatten(1)) for n, maps in drawn.gates.spatial.items()},
        dose=run.training.config.recipe.decay_dose(_steps(run)),
        moved=_moved(source) if pair else None,
        beside=_moved(beside) if pair and beside is not None else None,
    )


def _steps(run: Run) -> int:
    """Steps in an epoch."""
    return run.data.sizes[0] // run.training.config.recipe.batch_size


def _untrained(source: Source, *, seed: int) -> dict[str, float]:
    """The stripe scores before training: what there is to see without having learned."""
    assert source.config is not None
    if source.config.mode != "live":
        return {}
    model = new_model(source.config, DataFacts.of(source.data)).eval()
    return scores(measure(model, source.data.test, seed=seed).values)


def _by_epoch(source: Source) -> list[float]:
    """The median layer's stripe score after each epoch, on the recorded images."""
    if source.record is None or not source.record.live:
        return []
    layers = torch.stack(list(scores_over_epochs(source.record).values()))
    return [statistics.median(column) for column in layers.T.tolist()]


def _moved(source: Source) -> float:
    """|last − first epoch| of v, or else of live gates' means over images; mean over channels."""
    assert source.record is not None
    gates = source.record.asr or {n: v.mean(1) for n, v in source.record.live.items()}
    return torch.cat([(v[-1] - v[0]).abs() for v in gates.values()]).mean().item()


def recording_seconds(source: Source, folder: Path, *, rounds: int = 7) -> float:
    """Processor time of recording one epoch, at the end of the run; the median of some."""
    assert source.record is not None
    split: Split = source.data.validation
    recorder = AttentionRecorder(folder, split)
    times = []
    for epoch in range(rounds):
        start = time.process_time()
        recorder(EpochEnd(epoch, source.model, {}))  # type: ignore[arg-type]
        times.append(time.process_time() - start)
    return statistics.median(times)


def publish(runs: Path, gallery: Path, names: Sequence[str]) -> None:
    """Copy the pictures that the page shows."""
    for target, (name, picture) in SHOWN.items():
        if name in names:
            drawn = (runs / name / "stripes" / f"{picture}.png").read_bytes()
            with atomic_path(gallery / target) as temporary:
                temporary.write_bytes(drawn)


def study(
    runs: Path, docs: Path, *, workers: int = 1, only: Sequence[str] = tuple(VARIANTS), **setup: Any
) -> None:
    """Train what is missing, draw it, and write the section.

    Args:
        only: names of :data:`VARIANTS`.
        **setup: of :class:`Setup`.
    """
    options = Setup(**setup)
    every = {
        name: Run(runs / name, training(VARIANTS[name], options))
        for name in VARIANTS
        if name in only
    }
    train_missing(every.values(), workers=workers, say="stripes", seconds=SECONDS)
    base = open_source(every["base"].folder) if "base" in every else None
    found = {name: figures_of(name, run, base) for name, run in every.items()}
    publish(runs, docs / "gallery", list(every))
    cost = None
    if base is not None and base.config is not None:
        epochs = base.config.recipe.epochs
        cost = recording_seconds(base, runs / "cost"), every["base"].seconds / epochs
    missing = [name for name in VARIANTS if name not in every]
    put_section(docs, "stripes", page(found, cost=cost, missing=missing))
    put_lines(docs, "stripes", lines(found))
