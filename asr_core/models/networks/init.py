"""Initialisation of convolutional networks (He et al. 2015, arXiv 1502.01852, eq. 15)."""

from __future__ import annotations

from torch import nn


def he_init(model: nn.Module) -> None:
    """Convolutions normal with variance 2 / fan-out, their biases 0; in place."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
