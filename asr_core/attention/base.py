"""The base class of attention modules, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.registry import Registry, unknown_name

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardsigmoid": nn.functional.hardsigmoid,
}
NON_NEGATIVE = ("sigmoid", "hardsigmoid")
"""Activations that give no negative factor."""


class Attention(nn.Module):
    """Maps features (N, C, H, W) to a gate (N, C, 1, 1); multiplying is left to the caller.

    Args:
        channels: C, at least 1.
        activation: name in ``ACTIVATIONS``, the last step of the gate.

    Raises:
        InputError: ``channels`` below 1, or an unknown activation.
    """

    asr_refusal: ClassVar[str] = ""
    """Why the module cannot be an ASR gate, whose only input is ψ; "" if it can."""
    asr_options: ClassVar[dict[str, Any]] = {}
    """Constructor arguments that turn the live module into its input-independent form."""
    learns: ClassVar[bool] = True
    """False for a control: as an ASR gate, ψ is a buffer."""

    def __init__(self, channels: int, *, activation: str = "sigmoid") -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"attention needs at least 1 channel, got {channels}")
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, list(ACTIVATIONS))
        self.channels = channels
        self.activation = activation

    def activate(self, logits: Tensor) -> Tensor:
        """Apply the activation, elementwise."""
        return ACTIVATIONS[self.activation](logits)

    def extra_repr(self) -> str:
        """Channels and activation, for the module's repr."""
        return f"{self.channels}, activation={self.activation!r}"


class ChannelAffine(nn.Module):
    """weight ⊙ x + bias, both per channel: (N, C, 1, 1) -> (N, C, 1, 1)."""

    def __init__(self, channels: int, *, weight: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), weight))
        self.bias = nn.Parameter(torch.full((channels,), bias))

    def forward(self, x: Tensor) -> Tensor:
        """The scaled and shifted ``x``."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def bottleneck(channels: int, reduction: int) -> int:
    """Width of a hidden layer: C / reduction, but at least 4.

    A bottleneck of one or two ReLUs would be dead from the start in half of the narrow layers.

    Raises:
        InputError: ``reduction`` below 1.
    """
    if reduction < 1:
        raise InputError(
            f"reduction divides the number of channels, so at least 1; got {reduction}"
        )
    return max(channels // reduction, 4)


ATTENTIONS: Registry[type[Attention]] = Registry("attention module")
