"""Checks that weights are those of their name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.pretrained.cache import path_of
from asr_core.pretrained.catalogue import PRETRAINED
from asr_core.saving.checkpoint import load_checkpoint

KIND = "pretrained"


def verify(name: str) -> dict[str, Tensor]:
    """The cached weights called ``name``, after a check of their hash and shapes.

    Raises:
        CheckpointError: not fetched, damaged, or not these weights.
        InputError: an unknown name.
    """
    path = path_of(name)
    if not path.is_file():
        raise CheckpointError(f"{name} has not been fetched: {path} is missing")
    tensors, meta = load_checkpoint(path)
    if meta.get("kind") != KIND or meta.get("name") != name:
        raise CheckpointError(f"{path}: holds {meta.get('name')!r}, not {name!r}; fetch it again")
    check_shapes(name, tensors, str(path))
    return tensors


def check_shapes(name: str, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors that are not the weights called ``name``.

    Raises:
        CheckpointError: naming the first that is missing or has another shape.
    """
    for tensor, shape in PRETRAINED[name].shapes.items():
        given = tuple(tensors[tensor].shape) if tensor in tensors else "missing"
        if given != shape:
            raise CheckpointError(f"{where}: not {name}: {tensor} is {given}, expected {shape}")
