"""The gate: ψ, the attention modules that read it, and the vector v that they give."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError


class Gate(nn.Module):
    """v = v₁ ⊙ … ⊙ v_δ with v_i = attention_i(ψ_i): one value per channel, whatever the input.

    Args:
        channels: C.
        attention: name in ``ATTENTIONS``.
        delta: δ, how many attention modules stand at the position (paper, appendix D).
        psi: the value that every element of ψ starts from (0.1; ViT 1e-3).
        activation: what ends each attention module (sigmoid; ViT tanh).
        attention_init: the value that every weight of the attention modules starts from (ViT
            1e-3; paper, B.2); None keeps each module's own initialisation.

    Attributes:
        psi: (δ, C, 1, 1), a parameter; a buffer where the attention learns nothing.

    Raises:
        InputError: δ below 1, an unknown name, or an attention module that cannot do without
            an input.
    """

    psi: Tensor

    def __init__(
        self,
        channels: int,
        attention: str = "se",
        *,
        delta: int = 1,
        psi: float = 0.1,
        activation: str = "sigmoid",
        attention_init: float | None = None,
    ) -> None:
        super().__init__()
        module = ATTENTIONS[attention]
        if module.asr_refusal:
            raise InputError(f"{attention!r} cannot be an ASR gate: {module.asr_refusal}")
        if delta < 1:
            raise InputError(f"delta counts the gates at a position and starts at 1, got {delta}")
        self.config = {
            "attention": attention,
            "delta": delta,
            "psi": psi,
            "activation": activation,
            "attention_init": attention_init,
        }
        start = torch.full((delta, channels, 1, 1), float(psi))
        if module.learns:
            self.psi = nn.Parameter(start)
        else:
            self.register_buffer("psi", start)
        self.attention = nn.ModuleList(
            module(channels, activation=activation, **module.asr_options) for _ in range(delta)
        )
        if attention_init is not None:
            for parameter in self.attention.parameters():
                nn.init.constant_(parameter, attention_init)
        self._held: Tensor | None = None

    def scale(self) -> Tensor:
        """v, shape (C,), with gradient: inside the layer's forward the one computed for it."""
        if self._held is not None:
            return self._held
        # v is folded into full-precision weights, so autocast must not round it in training.
        device = self.psi.device.type
        with (
            torch.autocast(device, enabled=False)
            if torch.amp.is_autocast_available(device)
            else contextlib.nullcontext()
        ):
            v = self.attention[0](self.psi[:1])
            for i, module in enumerate(self.attention[1:], start=1):
                v = v * module(self.psi[i : i + 1])
        return v.flatten()

    def hold(self) -> None:
        """Compute v once for the reads up to :meth:`release`."""
        self._held = self.scale()

    def release(self) -> None:
        """Forget the held v."""
        self._held = None

    def forward(self) -> Tensor:
        """The same as :meth:`scale`."""
        return self.scale()
