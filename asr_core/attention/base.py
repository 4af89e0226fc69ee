"""What every attention module has in common, and the registry of their names."""

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


class Attention(nn.Module):
    """Maps features (N, C, H, W) to a gate (N, C, 1, 1); multiplying is left to the caller.

    Args:
        channels: C, at least 1.
        activation: name in ``ACTIVATIONS`` of the function that ends the gate.

    Raises:
        InputError: ``channels`` below 1, or an unknown activation.
    """

    asr_refusal: ClassVar[str] = ""
    """Why the module cannot be an ASR gate (its input being ψ alone); empty: it can."""
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
        """What the line of the module's repr says."""
        return f"{self.channels}, activation={self.activation!r}"


ATTENTIONS: Registry[type[Attention]] = Registry("attention module")
