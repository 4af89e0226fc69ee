"""A backbone in one of its modes: plain, with live attention, with ASR or a control, or both."""

from __future__ import annotations

from typing import Any

from torch import nn

from asr_core.asr.gate import CONTROLS
from asr_core.errors import InputError
from asr_core.models.backbones import BACKBONES
from asr_core.models.live import add_attention
from asr_core.placement.targets import select
from asr_core.registry import unknown_name

GATED = ("asr", "both", *CONTROLS)
MODES = ("plain", "live", *GATED)


def build(
    name: str, num_classes: int, *, mode: str = "plain", attention: str = "se", **options: Any
) -> nn.Module:
    """One of :data:`asr_core.models.BACKBONES`, freshly initialised.

    Args:
        name: name of the backbone.
        num_classes: width of its last layer.
        mode: "plain"; "live", attention on the features at the backbone's positions; "asr", gates
            at the positions; "both", live attention on the gated outputs; "frozen" and "free-v",
            the controls of :func:`asr_core.insert_asr` at the positions.
        attention: the attention module; in "both", of both.
        options: for gates, further arguments of :func:`asr_core.insert_asr`.

    Returns:
        The model, on images (N, 3, H, W). Its state dict has all keys of the plain model; with
        ASR, after :func:`asr_core.fuse_asr`.

    Raises:
        InputError: an unknown name, mode or option, or an attention module that the mode or the
            backbone cannot use.
    """
    backbone = BACKBONES[name]
    if mode not in MODES:
        raise unknown_name("mode", mode, list(MODES))
    if options and mode not in GATED:
        given = ", ".join(options)
        raise InputError(f"mode {mode!r} has no ASR: it takes no {given}; use 'asr' or 'both'")
    if mode not in ("live", "both"):
        model = backbone.make(num_classes)
    elif backbone.takes_attention:
        model = backbone.make(num_classes, attention=attention)
    else:
        plain = backbone.make(num_classes)
        positions, _ = select(
            dict(plain.named_modules(remove_duplicate=False)), backbone.targets, ()
        )
        model = add_attention(plain, positions, attention)
    if mode in GATED:
        control = mode if mode in CONTROLS else None
        backbone.insert(model, attention, **{"control": control, **options})
    return model
