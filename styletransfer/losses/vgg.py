"""VGG16 with ImageNet weights as the loss network, where the user has the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import vgg16

from asr_core.modules.states import require_state
from asr_core.pretrained import cached
from asr_core.saving.checkpoint import load_tensors
from styletransfer.losses.features import Features

_CACHED = "vgg16-397923af.pth"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STYLE = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3
_CONTENT = 8


def cached_weights() -> Path | None:
    """What ``asr_core.pretrained`` fetched, or torchvision's file in torch's cache, if any."""
    theirs = Path(torch.hub.get_dir()) / "checkpoints" / _CACHED
    return cached("vgg16") or (theirs if theirs.is_file() else None)


class VGGLossNetwork(nn.Module):
    """Content from relu2_2, style from relu1_2, 2_2, 3_3 and 4_3 (Johnson et al. 2016).

    ImageNet's normalisation is inside; images come in [0, 1].

    Args:
        weights: torchvision's VGG16 state dict (.pth or .safetensors), with or without classifier.

    Raises:
        CheckpointError: missing, unsafe, or not VGG16's.
    """

    mean: Tensor
    std: Tensor
    name = "VGG16 (ImageNet)"

    def __init__(self, weights: Path | str) -> None:
        super().__init__()
        tensors = load_tensors(weights)
        with torch.device("meta"):  # only the shapes: most of VGG16 is its classifier
            features = vgg16(weights=None, init_weights=False).features[: max(_STYLE) + 1]
        wanted = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
        given = {f"features.{n.removeprefix('features.')}": t for n, t in tensors.items()}
        given = {name: tensor.float() for name, tensor in given.items() if name in wanted}
        require_state(wanted, given, f"{weights}: not VGG16's weights", dtypes=False)
        features.load_state_dict(
            {name.removeprefix("features."): tensor for name, tensor in given.items()}, assign=True
        )
        self.layers = features
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, *, style: bool = True) -> Features:
        """Features of images (N, 3, H, W) in [0, 1]; ``style=False`` skips the style's."""
        x = (images - self.mean) / self.std
        found: dict[int, Tensor] = {}
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in _STYLE:
                found[index] = x
            if index == _CONTENT and not style:
                break
        return Features([(1.0, found[_CONTENT])], list(found.values()) if style else [])
