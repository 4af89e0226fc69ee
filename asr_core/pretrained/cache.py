"""The folder of fetched weights."""

from __future__ import annotations

import os
from pathlib import Path

from asr_core.pretrained.catalogue import PRETRAINED

FOLDER = "ROBUST_CACHE"
"""The environment variable that names another folder."""


def folder() -> Path:
    """``$ROBUST_CACHE``, or ``robust-asr`` in the user's cache (``$XDG_CACHE_HOME``, ~/.cache)."""
    if chosen := os.environ.get(FOLDER):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "robust-asr"


def path_of(name: str) -> Path:
    """The file of the weights called ``name``, whether or not it exists.

    Raises:
        InputError: an unknown name.
    """
    return folder() / f"{PRETRAINED[name].name}.safetensors"


def cached(name: str) -> Path | None:
    """The file of the weights called ``name``, or None if it has not been fetched."""
    path = path_of(name)
    return path if path.is_file() else None
