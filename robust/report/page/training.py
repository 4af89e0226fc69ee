"""The pages of training runs: classifiers, and style networks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from robust.report.page.made import hashed, made
from robust.report.page.read import read_run
from robust.report.page.values import (
    Answered,
    Block,
    Curves,
    Page,
    Panel,
    Picture,
    Pictures,
    Point,
    Section,
    Series,
    Shown,
)
from robust.report.table import Table
from robust.stats.intervals import wilson

_MOST_POINTS = 200
_TERMS = [
    ("top-1, top-5", "share of images whose class is the greatest logit, or among five", ""),
    ("loss", "mean cross-entropy", ""),
    (
        "interval of the test",
        "95 %, for other test images of the kind; another training seed differs by more",
        "Wilson 1927, score interval.",
    ),
    ("training figures", "running means over the epoch, while the weights move", ""),
]


def training_page(folder: Path) -> Page:
    """The page of ``robust train``: accuracy, parity, curves, speed."""
    whole, result = read_run(folder / "config.json"), read_run(folder / "result.json")
    config, test = whole["config"], result["test"]
    recipe, data = config["recipe"], whole["data"]
    epochs, timing = rows_of(folder / "metrics.csv"), rows_of(folder / "timing.csv")
    images = int(test["images"])
    low, high = wilson(test["top1"], images)
    gate = f", {config['mode']} ({config['attention']})" if config["mode"] != "plain" else ", plain"
    answers = [
        Answered(
            "How accurate is the network?",
            f"Top-1 {100 * test['top1']:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {images:,} "
            f"test images, after the last of {len(epochs)} epochs.",
        )
    ]
    parity = folder / "parity.json"
    if parity.is_file():
        same = read_run(parity)
        answers.append(
            Answered(
                "Does folding the gates away change it?",
                f"{_changes(same)}: {int(same['same_class']):,} of {int(same['test_images']):,} "
                "test images keep their class; outputs differ by "
                f"{same['max_rel']:.1g} of the largest at most ({same['tolerance']:g} is allowed).",
            )
        )
    places = [str(int(row["epoch"]) + 1) for row in epochs]
    panels = [
        _panel("loss", epochs, places, ("train_loss", "validation_loss"), 1),
        _panel("top-1, %", epochs, places, ("train_top1", "validation_top1"), 100),
        _panel("learning rate", epochs, places, ("lr",), 1),
        _panel("speed, images a second", timing, places, ("images_per_second",), 1),
    ]
    figures = Table(
        ("model", "top-1, %", "top-5, %", "loss", "images", "images a second", "parameters"),
        [
            (
                result["file"], f"{100 * test['top1']:.2f}", f"{100 * test['top5']:.2f}",
                f"{test['loss']:.4f}", str(images), f"{result['images_per_second']:.0f}",
                str(result["parameters"]),
            )
        ],
        caption="on the test split, after the last epoch",
    )  # fmt: skip
    facts = {
        "again": "robust train --config RUN",
        **{name: value for name, value in config.items() if name != "recipe" and value is not None},
        "recipe": {n: v for n, v in recipe.items() if n != "notes" and v not in (None, [])},
        "data": {name: data[name] for name in ("name", "image_size", "sizes", "labels")},
        **whole.get("setting", {}),
        **{
            name: result[name]
            for name in ("gates", "processes", "device", "torch", "train_seconds")
        },
    }
    return Page(
        f"{recipe['backbone']} on {data['name']}{gate}",
        answers,
        [Curves(panels, "By epoch.")],
        [
            Section(
                "tables",
                "Tables",
                [Shown(figures, "Test", _TERMS), Shown(_epochs(epochs, timing), "Epochs")],
            ),
            Section(
                "made",
                "How it was made",
                [made(facts, *hashed(folder, result["file"], "parity.json"))],
            ),
        ],
    )  # fmt: skip


def style_training_page(folder: Path) -> Page:
    """The page of ``robust train style``: losses by step."""
    config, steps = read_run(folder / "config.json"), rows_of(folder / "log.csv")
    if not steps:
        raise InputError(f"{folder / 'log.csv'}: no steps")
    last = steps[-max(1, len(steps) // 20) :]
    end = sum(row["loss"] for row in last) / len(last)
    every = max(1, math.ceil(len(steps) / _MOST_POINTS))
    thin = [
        {name: sum(row[name] for row in part) / len(part) for name in steps[0]}
        for part in (steps[start : start + every] for start in range(0, len(steps), every))
    ]
    places = [str(int(row["step"])) for row in thin]
    panels = [_panel(name, thin, places, (name,), 1) for name in ("loss", "content", "style")]
    lead: list[Block] = [Curves(panels, f"By step, means of {every}.")]
    style = folder / "style.png"
    if style.is_file():
        picture = Picture(style.read_bytes(), "the style image", "style", "image/png")
        lead.insert(0, Pictures([picture]))
    name = str(config.get("style", "a style"))
    norm = str(config.get("norm", ""))
    facts = {name: value for name, value in config.items() if name != "schema"}
    again = "robust train style --config RUN"
    return Page(
        f"style network, {Path(name).name}, {norm}",
        [
            Answered(
                "Did the network learn the style?",
                f"The loss fell from {steps[0]['loss']:.3f} to {end:.3f}, the mean of the last "
                f"{len(last)} of {len(steps)} steps.",
            )
        ],
        lead,
        [
            Section(
                "made",
                "How it was made",
                [made({"again": again, **facts}, *hashed(folder, "network.safetensors"))],
            )
        ],
    )


def _changes(parity: Mapping[str, Any]) -> str:
    """Whether folding changed the network, by what was measured: "Yes" or "No"."""
    alike = parity["same_class"] == parity["test_images"]
    return "No" if alike and parity["max_rel"] <= parity["tolerance"] else "Yes"


def rows_of(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV of numbers.

    Raises:
        InputError: it is missing, or holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path}: no table of numbers ({error})") from None


def _panel(
    title: str,
    rows: Sequence[dict[str, float]],
    places: Sequence[str],
    names: Sequence[str],
    scale: float,
) -> Panel:
    return Panel(title, places, list(_series(rows, names, scale)))


def _series(
    rows: Sequence[dict[str, float]], names: Sequence[str], scale: float
) -> Iterator[Series]:
    for name in names:
        colour = 1 if name.startswith("validation") else 0 if name.startswith("train") else 5
        label = {0: "training", 1: "validation", 5: "the run"}[colour]
        points = {place: Point(scale * row[name]) for place, row in enumerate(rows)}
        yield Series(label, colour, points, list(points))


def _epochs(epochs: list[dict[str, float]], timing: list[dict[str, float]]) -> Table:
    rows = [
        (
            f"{row['epoch'] + 1:.0f}", f"{row['lr']:.4g}",
            f"{row['train_loss']:.4f}", f"{100 * row['train_top1']:.2f}",
            f"{row['validation_loss']:.4f}", f"{100 * row['validation_top1']:.2f}",
            f"{100 * row['validation_top5']:.2f}", f"{time['seconds']:.1f}",
            f"{time['images_per_second']:.0f}",
        )
        for row, time in zip(epochs, timing, strict=False)
    ]  # fmt: skip
    head = (
        "epoch", "learning rate", "training loss", "training top-1, %", "validation loss",
        "validation top-1, %", "validation top-5, %", "seconds", "images a second",
    )  # fmt: skip
    return Table(head, rows, words=0)
