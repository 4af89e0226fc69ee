"""ShuffleNetV2 1× for small images (Ma et al. 2018, arXiv 1807.11164, table 5)."""

from __future__ import annotations

from torch import nn
from torchvision.models import ShuffleNetV2


def shufflenet_v2(num_classes: int) -> ShuffleNetV2:
    """Images (N, 3, H, W), sides from 32 -> logits (N, ``num_classes``).

    torchvision's network, with a first convolution that keeps the size and no pooling after it:
    1,356,104 parameters at 100 classes.
    """
    widths = [24, 116, 232, 464, 1024]
    model = ShuffleNetV2([4, 8, 4], widths, num_classes)
    conv = model.conv1[0]
    conv.stride = (1, 1)
    model.maxpool = nn.Identity()
    return model
