"""A small VGG, trained on embedded photographs, for perceptual losses without a download."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from asr_core import fold_bn

STAGES = ((24, 24), (48, 48), (96, 96), (128,))


class MiniVGG(nn.Module):
    """Seven 3x3 convolutions in four stages with average pooling between them.

    Average instead of max pooling gives smoother gradients (Gatys et al. 2016). ``forward``
    returns the features after each stage's last ReLU.
    """

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        stages, inputs = [], 3
        for widths in STAGES:
            layers: list[nn.Module] = []
            for width in widths:
                layers.append(nn.Conv2d(inputs, width, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU())
                inputs = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor, *, stages: int | None = None) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> [(N, 24, H, W), (N, 48, H/2, W/2), ... (N, 128, H/8, W/8)].

        ``stages`` stops after that many.
        """
        x = (images - 0.5) / 0.25
        features = []
        for index, stage in enumerate(self.stages[:stages]):
            x = stage(F.avg_pool2d(x, 2) if index else x)
            features.append(x)
        return features


def folded(trained: MiniVGG) -> MiniVGG:
    """A copy of a network trained with batch norm, in eval mode: each norm in its convolution."""
    plain = MiniVGG()
    convs = [layer for layer in trained.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in trained.modules() if isinstance(layer, nn.BatchNorm2d)]
    targets = [layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)]
    for conv, norm, target in zip(convs, norms, targets, strict=True):
        target.load_state_dict(fold_bn(conv, norm).state_dict())
    return plain.eval()
