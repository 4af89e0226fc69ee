"""Freezing a classifier's live attention on training images, and its accuracy before and after."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core import limits
from asr_core.data import ImageSet, Split
from asr_core.errors import InputError
from asr_core.freeze import FreezeReport, freeze_attention
from asr_core.models import Normalized
from asr_core.training.evaluate import evaluate
from asr_core.verify.divergence import require_agreement
from robust.models.files import Folds, ModelFile, SavedModel, check_classes
from robust.models.names import build_model
from robust.stats.accuracy_change import AccuracyChange, accuracy_change

SPLITS = ("test", "validation")
_TWIN = re.compile(r"(timm:)(?:se|eca|ceca)(res.+)|(asr:)([^+]+)\+.+")
"""Names of models, ours and timm's, with live attention added to another."""


@dataclass(frozen=True)
class Frozen:
    """A frozen classifier.

    Attributes:
        report: that of the backbone, without normalisation.
        model: ``report.plain``, on images in [0, 1] if the live model was.
        accuracy: of the live model and of ``model``, on the same images.
    """

    report: FreezeReport
    model: nn.Module
    accuracy: AccuracyChange


def freeze_classifier(
    model: nn.Module,
    data: ImageSet,
    *,
    max_images: int | None = None,
    split: str = "test",
    batch_size: int = 128,
) -> Frozen:
    """Freeze on images of the training split, and compare the accuracies on another.

    Args:
        model: live attention, no ASR; on images in [0, 1] on the data's device. Not changed.
        data: what it was trained on.
        max_images: number of training images, drawn with a fixed seed; None for all.
        split: "test" or "validation", for the accuracies.
        batch_size: images at a time.

    Raises:
        InputError: another number of classes, an unknown split, numbers out of range, or what
            :func:`asr_core.freeze_attention` refuses.
        ParityError: the folded model differs from the one with constants.
    """
    if split not in SPLITS:
        raise InputError(f"accuracy is compared on {' or '.join(SPLITS)}, not on {split!r}")
    limits.whole("batch size", batch_size, 1, limits.BATCH)
    if max_images is not None:  # a gate's variance needs two
        limits.whole("max_images", max_images, 2, limits.STEPS)
    chosen: Split = getattr(data, split)
    check_classes("the model", model, data)
    batches = _images(data.train, max_images, batch_size)
    if isinstance(model, Normalized):
        normalise = Normalized(nn.Identity(), *model.statistics).to(model.mean)
        report = freeze_attention(model.model, map(normalise, batches))
        result: nn.Module = Normalized(report.plain, *model.statistics).to(model.mean)
        result.train(model.training)
    else:
        report = freeze_attention(model, batches)
        result = report.plain
    before = evaluate(model, chosen, batch_size=batch_size)
    after = evaluate(result, chosen, batch_size=batch_size)
    change = accuracy_change(before.correct.numpy(), after.correct.numpy())
    return Frozen(report, result, change)


def save_frozen(opened: SavedModel, path: Path, frozen: Frozen, *, step: str) -> str:
    """Write the frozen model so that it can be read again; returns its stock name.

    That is the name of the model without live attention, if there is such a name and its model is
    the same function; else the live model's, with the list of frozen gates.
    """
    plain = frozen.model
    name = plain_name(opened.stock.name)
    if name is not None and _fits(name, opened.stock.arguments, plain, opened.examples()):
        twin = copy.copy(opened)
        twin.stock = replace(opened.stock, name=name)
        twin.save(path, plain, step=step)
        return name
    prefix = "model." if isinstance(plain, Normalized) else ""
    gates = [prefix + name for name in frozen.report.names]
    opened.save(path, plain, Folds(frozen=gates), step=step)
    return opened.stock.name


def plain_name(name: str) -> str | None:
    """The name of ``name``'s model without live attention (resnet50 for seresnet50), if any."""
    match = _TWIN.fullmatch(name)
    return "".join(part for part in match.groups() if part) if match else None


def require_classifier(opened: ModelFile) -> SavedModel:
    """``opened``, if it is a classifier.

    Raises:
        InputError: it is a style network.
    """
    if not isinstance(opened, SavedModel):
        raise InputError("a style network has no live attention to freeze, and no accuracy")
    return opened


def _images(split: Split, count: int | None, batch_size: int) -> Iterator[Tensor]:
    """Images of ``split``, without augmentation."""
    generator = torch.Generator().manual_seed(0)
    indices = torch.randperm(len(split), generator=generator)[:count]
    return split.test_stream(indices.sort().values.split(batch_size))


def _fits(name: str, arguments: Any, model: nn.Module, examples: list[Tensor]) -> bool:
    """Whether the stock model ``name`` with the state dict of ``model`` is the same function."""
    inner = model.model if isinstance(model, Normalized) else model
    state = inner.state_dict()
    try:
        stock = build_model(name, arguments)
        stock.to(next(inner.parameters()).dtype).load_state_dict(state, strict=True)
        require_agreement(inner, stock, examples)
    except (InputError, RuntimeError):
        return False
    return True
