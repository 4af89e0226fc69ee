"""Versions and hardware of a run, for its record."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

_LIBRARIES = ("robust-asr", "torch", "torchvision", "scikit-image", "numpy", "pillow")


def environment(device: torch.device) -> dict[str, Any]:
    """What a reader needs to judge whether two runs are comparable; JSON-able."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": {name: _version(name) for name in _LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # run from the sources, without installing
        return None
