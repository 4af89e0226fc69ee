"""The names of our backbones in saved models and commands: asr:NAME[+ATTENTION]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from asr_core import limits
from asr_core.errors import InputError
from asr_core.models.backbones import BACKBONES, Backbone
from asr_core.models.build import build

PREFIX = "asr:"


def build_named(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """The untrained backbone that ``name`` stands for, without ASR.

    Args:
        name: "asr:resnet164" (:data:`asr_core.models.BACKBONES`), or "asr:resnet164+se" with live
            attention at its positions.
        arguments: ``{"num_classes": n}``; by default 10 for backbones of small images, else 1000.

    Raises:
        InputError: an unknown backbone or attention module, or other arguments.
    """
    backbone, attention = _parts(name)
    arguments = {
        "num_classes": 10 if 32 in BACKBONES[backbone].sizes else 1000,
        **(arguments or {}),
    }
    num_classes = arguments.pop("num_classes")
    if arguments:
        raise InputError(f"{name!r} takes num_classes alone, got {', '.join(arguments)}")
    limits.whole("num_classes", num_classes, 1, limits.CLASSES)
    if attention is None:
        return build(backbone, num_classes)
    return build(backbone, num_classes, mode="live", attention=attention)


def backbone_of(name: str) -> Backbone:
    """The backbone of an asr: name, with the positions of its gates.

    Raises:
        InputError: no such backbone.
    """
    return BACKBONES[_parts(name)[0]]


def named(backbone: str, attention: str | None = None) -> str:
    """The name of a backbone, with live ``attention`` if given."""
    return f"{PREFIX}{backbone}" + (f"+{attention}" if attention else "")


def _parts(name: str) -> tuple[str, str | None]:
    if not name.startswith(PREFIX):
        raise InputError(f"{name!r} names no backbone of ours: those names start with {PREFIX}")
    backbone, plus, attention = name.removeprefix(PREFIX).partition("+")
    return backbone, attention if plus else None
