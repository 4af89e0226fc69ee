"""EfficientNet-Lite0 with its published ImageNet weights."""

from __future__ import annotations

from torch import nn

from asr_core.models import Normalized
from asr_core.pretrained import verify
from asr_core.saving.checkpoint import load_strictly
from asr_core.saving.model_facts import StockModel
from robust.models.names import build_model

WEIGHTS = "efficientnet-lite0"
STOCK = StockModel(
    "timm:tf_efficientnet_lite0", {}, (3, 224, 224), mean=(127 / 255,) * 3, std=(128 / 255,) * 3
)
"""The weights were trained on (pixel - 127) / 128."""


def efficientnet_lite0() -> Normalized:
    """The trained network, in eval mode: images (N, 3, 224, 224) in [0, 1] -> logits (N, 1000).

    Raises:
        CheckpointError: its weights have not been fetched, or are damaged.
        InputError: timm is not installed.
    """
    tensors = verify(WEIGHTS)
    backbone: nn.Module = build_model(STOCK.name, STOCK.arguments)
    load_strictly(backbone, tensors, f"{WEIGHTS}: not the tensors of {STOCK.name}")
    model = STOCK.normalized(backbone)
    assert isinstance(model, Normalized)
    return model.eval()
