"""The cost of attention at inference: a model plain, with live attention, and with ASR fused."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torchvision.models import list_models

from asr_core import fuse_asr, insert_asr, limits, place
from asr_core.errors import InputError
from asr_core.models import BACKBONES, add_attention, build
from asr_core.registry import unknown_name
from robust.bench.speed import timed
from robust.bench.table_one import MODEL, TABLE_ONE, Printed
from robust.models.names import build_model

LIVE = ("ie", "cbam", "se", "srm", "dia", "spa")
FUSED = ("se", "spa")
"""The attention modules of Table 1."""


class DataShape(NamedTuple):
    """Number of classes, and the sides H = W of the images."""

    num_classes: int
    sides: tuple[int, ...]


DATA_SHAPES = {
    "cifar100": DataShape(100, (32,)),
    "cifar10": DataShape(10, (32,)),
    "stl10": DataShape(10, (96,)),
    "imagenet": DataShape(1000, (224, 384)),
}


@dataclass(frozen=True)
class Subject:
    """A model by name, for the classes and images of one data set.

    Attributes:
        data: name of the data set; None, like ``num_classes``, for the builder's default.
        build: ``build(mode=, attention=)`` makes the untrained model, "plain", "live" or "asr".
    """

    model: str
    data: str | None
    num_classes: int | None
    image_size: int
    build: Callable[..., nn.Module]


@dataclass(frozen=True)
class Row:
    """The figures of one variant.

    Attributes:
        label: "plain"; "SE", live; "ASR(SE)", fused.
        parameters: number of parameters at inference.
        seconds: median time of a forward.
        ratio: median of its speed over the plain model's in the same round: 0.8 is a fifth slower.
        lowest: the least of these ratios.
        highest: the greatest.
        paper: Table 1's cell, if it has one.
        paper_ratio: Table 1's images per second over those of its plain model.
    """

    label: str
    parameters: int
    seconds: float
    ratio: float
    lowest: float
    highest: float
    paper: Printed | None
    paper_ratio: float | None


def subject(model: str, data: str | None = None) -> Subject:
    """The model of this name for a data set.

    Args:
        model: name in :data:`asr_core.models.BACKBONES`, with attention at the paper's positions;
            or one that :func:`robust.models.names.build_model` knows, at automatic positions.
        data: name in ``DATA_SHAPES``; None for the first whose images the model takes.

    Raises:
        InputError: an unknown name, or images of a size that the backbone does not take.
    """
    if data is not None and data not in DATA_SHAPES:
        raise unknown_name("data shape", data, list(DATA_SHAPES))
    name = model.removeprefix("asr:")
    if name not in BACKBONES:
        return _placed(name, data)
    takes = BACKBONES[name].sizes
    for known in DATA_SHAPES if data is None else (data,):
        num_classes, sides = DATA_SHAPES[known]
        for side in sides:
            if side in takes:
                return Subject(name, known, num_classes, side, partial(build, name, num_classes))
    fitting = [known for known, shape in DATA_SHAPES.items() if set(shape.sides) & set(takes)]
    raise InputError(
        f"{name} takes images of side {' or '.join(map(str, takes))}, not those of {data}; "
        f"data shapes for it: {', '.join(fitting)}"
    )


def _placed(name: str, data: str | None) -> Subject:
    if ":" not in name and name not in list_models():
        raise InputError(
            f"{unknown_name('model', name, BACKBONES.names())}, a torchvision name, timm:NAME, or "
            "package.module:factory"
        )
    num_classes, side = None, DATA_SHAPES["imagenet"].sides[0]
    if data is not None:
        num_classes, (side, *_) = DATA_SHAPES[data]
    arguments = {} if num_classes is None else {"num_classes": num_classes}

    def built(mode: str, attention: str = "se") -> nn.Module:
        model = build_model(name, arguments)
        if mode == "asr":
            insert_asr(model, attention)
        return add_attention(model, place(model).names, attention) if mode == "live" else model

    return Subject(name, data, num_classes, side, built)


def variants(what: Subject) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The untrained models of Table 1 in eval mode, by label; and why others are left out.

    torch's random state is restored.

    Raises:
        InputError: the model cannot be built, or takes no ASR.
    """
    models: dict[str, nn.Module] = {}
    left_out: dict[str, str] = {}
    with torch.random.fork_rng(devices=[]):
        models["plain"] = what.build(mode="plain").eval()
        for attention in LIVE:
            try:
                models[attention.upper()] = what.build(mode="live", attention=attention).eval()
            except InputError as error:
                left_out[attention.upper()] = str(error)
        for attention in FUSED:
            gated = what.build(mode="asr", attention=attention).eval()
            with warnings.catch_warnings():
                # Nothing here was trained, and speed does not depend on it.
                warnings.filterwarnings("ignore", "no gate has changed", UserWarning)
                models[f"ASR({attention.upper()})"] = fuse_asr(gated, inplace=True)
    return models, left_out


def parameters(model: nn.Module) -> int:
    """The number of the model's parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def bench(
    what: Subject,
    models: dict[str, nn.Module],
    *,
    batch_size: int = 16,
    rounds: int = 7,
    device: torch.device | str = "cpu",
    on_forward: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Parameters and speed of the :func:`variants`, which take turns.

    Args:
        what: what the models were built from.
        models: by label; moved to ``device``.
        batch_size: random images in a forward.
        rounds: timed rounds, after one of warm-up.
        device: where to run.
        on_forward: called after each of ``len(models) * (rounds + 1)`` forwards.

    Raises:
        InputError: a batch or rounds out of range, or a model that does not take the images.
    """
    limits.whole("rounds", rounds, 1, limits.ROUNDS)
    limits.check_batch(batch_size, what.image_size)
    side = what.image_size
    images = torch.rand(batch_size, 3, side, side, generator=torch.Generator().manual_seed(0))
    counts = {label: parameters(model) for label, model in models.items()}
    try:
        with torch.inference_mode():
            models["plain"](images[:1])
    except Exception as error:  # a model may raise anything
        raise InputError(
            f"{what.model} does not take images of {side} × {side}: {' '.join(str(error).split())}"
        ) from error
    on_device = [model.to(device) for model in models.values()]
    measured = timed(on_device, images.to(device), rounds=rounds, on_forward=on_forward)
    times = dict(zip(models, measured, strict=True))
    printed = TABLE_ONE.get(what.data or "", {}) if what.model == MODEL else {}
    rows = []
    for label, seconds in times.items():
        ratios = [plain / own for plain, own in zip(times["plain"], seconds, strict=True)]
        paper = printed.get(label)
        rows.append(
            Row(
                label,
                counts[label],
                statistics.median(seconds),
                statistics.median(ratios),
                min(ratios),
                max(ratios),
                paper,
                paper.speed / printed["plain"].speed if paper else None,
            )
        )
    return rows
