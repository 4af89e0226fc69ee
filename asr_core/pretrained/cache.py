"""Where fetched weights are kept, and whether what lies there is what it should be."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.pretrained.catalogue import PRETRAINED
from asr_core.saving.checkpoint import load_checkpoint

KIND = "pretrained"
FOLDER = "ROBUST_CACHE"
"""The environment variable that names another folder."""


def folder() -> Path:
    """``$ROBUST_CACHE``, or ``robust-asr`` in the user's cache (``$XDG_CACHE_HOME``, ~/.cache)."""
    if chosen := os.environ.get(FOLDER):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "robust-asr"


def path_of(name: str) -> Path:
    """The file of the weights called ``name``, whether or not it is there.

    Raises:
        InputError: an unknown name; the known ones are listed.
    """
    return folder() / f"{PRETRAINED[name].name}.safetensors"


def cached(name: str) -> Path | None:
    """The file of the weights called ``name``, or None where it has not been fetched."""
    path = path_of(name)
    return path if path.is_file() else None


def verify(name: str) -> dict[str, Tensor]:
    """The cached weights called ``name``, after their hash and shapes have been checked.

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


def check_shapes(name: str, tensors: dict[str, Tensor], where: str) -> None:
    """Refuse tensors that are not of the weights called ``name``.

    Raises:
        CheckpointError: naming the first that is missing or has another shape.
    """
    for tensor, shape in PRETRAINED[name].shapes.items():
        given = tuple(tensors[tensor].shape) if tensor in tensors else "missing"
        if given != shape:
            raise CheckpointError(f"{where}: not {name}: {tensor} is {given}, expected {shape}")
