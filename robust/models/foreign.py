"""Weights that others trained, under the names of timm's or torchvision's own model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_strictly, load_tensors
from asr_core.saving.model_facts import Made, StockModel
from robust.models.names import FORMS, build_model

_TIMM = "timm:"
_COUNTER = "num_batches_tracked"


def load_foreign(path: Path, name: str) -> tuple[nn.Module, StockModel, Made]:
    """The model ``name`` with the state dict in ``path``, on images in [0, 1], in eval mode.

    The number of classes is that of the last layer in the file; the size and normalisation of the
    images are those that timm or torchvision publishes for the model.

    Args:
        path: a state dict as .safetensors, or as a torch file with nothing but tensors; names may
            have the prefix of DataParallel.
        name: a torchvision name, or ``timm:NAME``.

    Raises:
        CheckpointError: missing, damaged, unsafe, or not the tensors of that model.
        InputError: an unknown model, or one without a published normalisation.
    """
    shape, mean, std = _preprocessing(name)
    tensors = _plain_names(load_tensors(path))
    model = build_model(name)
    head = list(model.state_dict())[-1]
    arguments: dict[str, Any] = {}
    if head in tensors and len(tensors[head]) != len(model.state_dict()[head]):
        arguments = {"num_classes": len(tensors[head])}
        model = build_model(name, arguments)
    # Old files lack these; only batch norms without a momentum read them, and only in training.
    counters = {n: t for n, t in model.state_dict().items() if n.endswith(_COUNTER)}
    load_strictly(model, {**counters, **tensors}, f"{path}: not the tensors of {name}")
    stock = StockModel(name, arguments, shape, mean=mean, std=std)
    made = Made(steps=[f"weights of {name} taken from {path.name}, which others trained"])
    return stock.normalized(model).eval(), stock, made


Preprocessing = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]


def _preprocessing(name: str) -> Preprocessing:
    """Shape of an image, and mean and std, as published."""
    found: Mapping[str, Any] = {}
    if name.startswith(_TIMM):
        found = getattr(build_model(name), "default_cfg", None) or {}
        shape = found.get("input_size")
    elif ":" not in name:
        build_model(name)  # refuses an unknown name
        try:
            published = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        except (ValueError, AttributeError):
            published = None
        found = vars(published) if published is not None else {}
        (side,) = found.get("crop_size", [None])
        shape = None if side is None else (3, side, side)
    else:
        raise InputError(
            f"weights that others trained are of a torchvision name or timm:NAME, not {name!r}; "
            "write other models by asr_core.save_model, with their mean and std"
        )
    if shape is None or "mean" not in found or "std" not in found:
        raise InputError(f"{name!r} has no published normalisation of images; a MODEL is {FORMS}")
    return tuple(shape), tuple(found["mean"]), tuple(found["std"])


def _plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in tensors)
    return {name.removeprefix(prefix) if wrapped else name: t for name, t in tensors.items()}
