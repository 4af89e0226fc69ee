"""CBAM's spatial attention, a factor for each position of the feature map (paper, Fig. 24)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asr_core.attention import CBAM
from asr_core.models import Normalized
from asr_core.verify.parity import evaluating
from asr_core.verify.watch import watching


@torch.no_grad()
def spatial_attention(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The spatial half of each CBAM module in ``model``, in eval mode.

    Args:
        model: any model; its modes are restored.
        images: inputs (N, 3, H, W) on the model's device.

    Returns:
        Float32 (N, H', W') on the CPU by the module's name (without the prefix of
        :class:`Normalized`), in the model's order; empty without CBAM.
    """
    inner = model.model if isinstance(model, Normalized) else model
    halves = {
        f"{name}.spatial".lstrip("."): (name, module)
        for name, module in inner.named_modules()
        if isinstance(module, CBAM) and module.spatial is not None
    }
    maps: dict[str, Tensor] = {}

    def listen(half: str, logits: Tensor) -> None:
        name, cbam = halves[half]
        maps[name] = cbam.activate(logits)[:, 0].float().cpu()

    if halves:
        with evaluating(model), watching(inner, halves, listen):
            model(images)
    return maps
