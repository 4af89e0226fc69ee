"""From the tensors in a published file to a state dict with torchvision's, LPIPS' or timm's names.

Each function takes the result of :func:`asr_core.pretrained.read.read_tensors`, and raises KeyError
if a tensor is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VGG16_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""The indices of the convolutions in torchvision's ``vgg16().features``."""
ALEXNET_CONVS = (0, 3, 6, 8, 10)
LPIPS_LAYERS = 5
_TIMM_PARTS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage of EfficientNet-Lite0; the first stage's block has no expansion."""


def vgg16(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``features.*`` of torchvision's VGG16, from Flax's names or torchvision's."""
    if "features.0.weight" in tensors:
        names = [f"features.{i}.{part}" for i in VGG16_CONVS for part in ("weight", "bias")]
        return {name: tensors[name] for name in names}
    return _flax_convs(tensors, "VGG16_0", VGG16_CONVS)


def lpips_heads(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``lin0.weight`` to ``lin4.weight``, each (1, C, 1, 1)."""
    return {
        f"lin{i}.weight": _to_oihw(tensors[f"NetLinLayer_{i}/Conv_0/kernel"])
        for i in range(LPIPS_LAYERS)
    }


def lpips_alex(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``features.*`` of torchvision's AlexNet, and LPIPS' ``lin*.weight`` on it."""
    return _flax_convs(tensors, "AlexNet_0", ALEXNET_CONVS) | lpips_heads(tensors)


def efficientnet_lite0(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names: stages with blocks in them instead of blocks in a row."""
    places = [(stage, block) for stage, count in enumerate(_STAGES) for block in range(count)]
    state = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part == "_blocks":
            number, layer, leaf = rest.split(".")
            stage, block = places[int(number)]
            new = f"blocks.{stage}.{block}.{_block_layer(layer, expands=stage > 0)}.{leaf}"
        else:
            new = f"{_TIMM_PARTS[part]}.{rest}"
        state[new] = tensor
    return state


def _block_layer(layer: str, *, expands: bool) -> str:
    """timm's name of a block's layer: it numbers norms and pointwise convolutions from 1."""
    return {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2" if expands else "bn1",
        "_project_conv": "conv_pwl" if expands else "conv_pw",
        "_bn2": "bn3" if expands else "bn2",
    }[layer]


def _flax_convs(
    tensors: Mapping[str, Tensor], network: str, places: tuple[int, ...]
) -> dict[str, Tensor]:
    state = {}
    for index, place in enumerate(places):
        state[f"features.{place}.weight"] = _to_oihw(tensors[f"{network}/Conv_{index}/kernel"])
        state[f"features.{place}.bias"] = tensors[f"{network}/Conv_{index}/bias"].clone()
    return state


def _to_oihw(kernel: Tensor) -> Tensor:
    """Flax keeps (h, w, in, out)."""
    return kernel.permute(3, 2, 0, 1).contiguous()
