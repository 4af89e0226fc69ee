"""The names that options take, known without importing what they name.

Help, completion and the refusal of a wrong value must not wait for torch. So the names that ship
stand here once more, in the order of their registries. Names that users register are known too,
once their registry is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

LIVE_ONLY = "dia"
"""The attention module that cannot be an ASR gate."""

REGISTRIES: Mapping[str, tuple[str, ...]] = {
    "asr_core.attention.base:ATTENTIONS": (
        "cbam", "const", "dia", "eca", "ie", "se", "spa", "srm",
    ),
    "asr_core.data.source:DATASETS": (
        "embedded", "embedded-quarters", "cifar10", "cifar100", "stl10", "imagenet", "shapes",
        "shapes-96",
    ),
    "robust.suites.suite:SUITES": (
        "adversarial", "adversarial-strong", "corruptions", "norm-noise", "norm-statistics",
    ),
    "styletransfer.images.drawn:STYLES": ("mosaic", "waves", "hatching", "points"),
    "styletransfer.network:NORMS": ("in", "bn", "bn+asr", "bn+frozen", "bn+const"),
}  # fmt: skip
GRANULARITIES = ("layer", "channel", "sample")
CONTROLS = {
    "const": "--attention const: σ(ψ), which learns nothing",
    "frozen": "--mode frozen: the attention's own gate, which keeps the weights it is drawn with",
    "free-v": "--mode free-v: one learnable vector that starts at the attention's gate",
}
"""Gates that ASR is compared with, and how a training gets them."""
MODES = ("plain", "live", "asr", "both", "frozen", "free-v")
SCHEDULES = ("multistep", "cosine")
LOSS_NETWORKS = ("auto", "vgg16", "embedded")
SPLITS = ("test", "validation", "train")
SHAPES = ("cifar100", "cifar10", "stl10", "imagenet")


def _known(registry: str) -> list[str]:
    module, _, attribute = registry.partition(":")
    loaded = getattr(sys.modules.get(module), attribute, ())
    return list(dict.fromkeys([*REGISTRIES[registry], *loaded]))


def attentions() -> list[str]:
    """Attention modules."""
    return _known("asr_core.attention.base:ATTENTIONS")


def data_sets() -> list[str]:
    """Classification data sets."""
    return _known("asr_core.data.source:DATASETS")


def suites() -> list[str]:
    """Robustness suites."""
    return _known("robust.suites.suite:SUITES")


def styles() -> list[str]:
    """Styles that are drawn by code."""
    return _known("styletransfer.images.drawn:STYLES")


def norms() -> list[str]:
    """Norm variants of style networks."""
    return _known("styletransfer.network:NORMS")


def shipped_seeds(style: str) -> list[int]:
    """Training seeds of the networks of ``style`` that ship."""
    weights = Path(str(files("styletransfer"))) / "weights"
    networks = weights.glob(f"{style}-*.safetensors")
    return sorted({int(path.stem.rpartition("-")[2]) for path in networks})
