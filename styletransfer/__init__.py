"""Fast style transfer in norm variants: IN, BN, BN+ASR and the control BN+const.

::

    checkpoint, = select(shipped(), style="mosaic", norm="bn+asr", seed=0)
    network, facts = load_network(checkpoint.path)
    pictures = stylize(network, images)  # (N, 3, H, W) in [0, 1], as the images
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from styletransfer.inference import fold_network, stylize
    from styletransfer.losses.choose import loss_network
    from styletransfer.losses.perceptual import LossTerms, PerceptualLoss
    from styletransfer.network import NORMS, StyleNetwork
    from styletransfer.recipe import StyleRecipe
    from styletransfer.train import evaluate, train_style
    from styletransfer.zoo import StyleCheckpoint, load_network, save_network, select, shipped

__all__ = [
    "NORMS",
    "LossTerms",
    "PerceptualLoss",
    "StyleCheckpoint",
    "StyleNetwork",
    "StyleRecipe",
    "evaluate",
    "fold_network",
    "load_network",
    "loss_network",
    "save_network",
    "select",
    "shipped",
    "stylize",
    "train_style",
]

_MODULES = {
    "fold_network": "inference",
    "stylize": "inference",
    "loss_network": "losses.choose",
    "LossTerms": "losses.perceptual",
    "PerceptualLoss": "losses.perceptual",
    "NORMS": "network",
    "StyleNetwork": "network",
    "StyleRecipe": "recipe",
    "evaluate": "train",
    "train_style": "train",
    "StyleCheckpoint": "zoo",
    "load_network": "zoo",
    "save_network": "zoo",
    "select": "zoo",
    "shipped": "zoo",
}


def __getattr__(name: str) -> Any:
    """The name, imported with torch on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
