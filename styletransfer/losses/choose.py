"""Which loss network a run uses."""

from __future__ import annotations

from pathlib import Path

from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.vgg import VGGLossNetwork, cached_weights

CACHED = "cached"


def loss_network(vgg_weights: str | None = None) -> EmbeddedLossNetwork | VGGLossNetwork:
    """The embedded loss network (None), or VGG16 from a file, or from torchvision's cache.

    The cache is used only when asked for (``"cached"``), so that equal commands give equal numbers
    on machines with and without it.

    Raises:
        CheckpointError: the weights are missing, damaged, or not VGG16's.
    """
    if vgg_weights is None:
        return EmbeddedLossNetwork()
    return VGGLossNetwork(cached_weights() if vgg_weights == CACHED else Path(vgg_weights))
