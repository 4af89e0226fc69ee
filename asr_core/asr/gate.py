"""The gate: ψ, the attention modules that read it, and their product, the vector v."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from asr_core import limits
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError
from asr_core.registry import unknown_name

if TYPE_CHECKING:
    from asr_core.asr.report import Position

FROZEN, FREE = CONTROLS = ("frozen", "free-v")
"""Gates that start where an attention's gate starts, channel by channel, but learn otherwise."""


class Gate(nn.Module):
    """v = v₁ ⊙ … ⊙ v_δ with v_i = attention_i(ψ_i): one value per channel, whatever the input.

    Args:
        channels: C.
        attention: name in ``ATTENTIONS``.
        delta: δ, the number of attention modules at the position (paper, appendix D).
        psi: initial value of every element of ψ (0.1; ViT 1e-3).
        activation: the last step of each attention module (sigmoid; ViT tanh).
        attention_init: initial value of every weight of the attention modules (ViT 1e-3; paper,
            B.2); None keeps each module's own initialisation.
        control: None for the gate itself; in :data:`CONTROLS`, "frozen" is the same gate with the
            same draw of its weights, none of which takes a gradient. "free-v" is the start of a
            :class:`FreeGate`.

    Attributes:
        psi: (δ, C, 1, 1), a parameter; a buffer if the attention learns nothing.
        config: the arguments without ``channels``.
        position: the layer that owns the gate; set on insertion.

    Raises:
        InputError: δ below 1, ψ not finite, an unknown name, or an attention module that needs an
            input.
    """

    psi: Tensor
    position: Position

    def __init__(
        self,
        channels: int,
        attention: str = "se",
        *,
        delta: int = 1,
        psi: float = 0.1,
        activation: str = "sigmoid",
        attention_init: float | None = None,
        control: str | None = None,
    ) -> None:
        super().__init__()
        module = ATTENTIONS[attention]
        if module.asr_refusal:
            raise InputError(f"{attention!r} cannot be an ASR gate: {module.asr_refusal}")
        if control is not None and control not in CONTROLS:
            raise unknown_name("control", control, list(CONTROLS))
        limits.whole("delta", delta, 1, limits.DELTA)
        for name, value in (("psi", psi), ("attention_init", attention_init)):
            if value is not None and not abs(value) <= limits.FLOAT:
                raise InputError(f"{name} is {value}; it must be finite, as float32 holds numbers")
        self.config: dict[str, Any] = {
            "attention": attention,
            "delta": delta,
            "psi": float(psi),
            "activation": activation,
            "attention_init": attention_init,
            "control": control,
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
        self.requires_grad_(control != FROZEN)
        self._held: Tensor | None = None
        self._start: dict[str, Tensor] = {}

    def scale(self) -> Tensor:
        """v, shape (C,), with gradient; during the layer's forward, the v held for it."""
        if self._held is not None:
            return self._held
        device = self.psi.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            # v is folded into full-precision weights, so autocast must not round it in training.
            with torch.autocast(device, enabled=False):
                return self._product()
        return self._product()

    def _product(self) -> Tensor:
        # No split for δ = 1: every training step runs this for every gate.
        parts = self.psi.split(1) if len(self.attention) > 1 else (self.psi,)
        v, *others = [module(psi) for module, psi in zip(self.attention, parts, strict=True)]
        for other in others:
            v = v * other
        return v.flatten()

    @property
    def held(self) -> bool:
        """Whether a v is held: during a forward of the layer."""
        return self._held is not None

    def hold(self) -> None:
        """Compute v once for all reads until :meth:`release`."""
        self._held = self.scale()

    def release(self) -> None:
        """Forget the held v."""
        self._held = None

    def mark_start(self) -> None:
        """Remember the current values as those that training starts from."""
        own = {n: p for n, p in self.named_parameters() if p.requires_grad and not p.is_meta}
        self._start = {name: p.detach().cpu().clone() for name, p in own.items()}

    def never_trained(self) -> bool:
        """Whether the gate could learn, yet every parameter is as :meth:`mark_start` saw it."""
        now = dict(self.named_parameters())
        return bool(self._start) and all(
            torch.equal(now[name].detach(), start.to(now[name]))
            for name, start in self._start.items()
        )

    def forward(self) -> Tensor:
        """:meth:`scale`, for ``torch.func.functional_call``."""
        return self.scale()

    def _replicate_for_data_parallel(self) -> NoReturn:
        # A replica's layers would read this gate, on another device.
        raise InputError(
            "a model with gates cannot be replicated by nn.DataParallel: use one device, or "
            "nn.parallel.DistributedDataParallel, or fuse_asr first"
        )


class FreeGate(Gate):
    """The control "free-v": one learnable vector, without attention, that starts at a gate's v.

    Nothing bounds it: an activation of the attention's, such as the sigmoid, is only in its start.

    Args:
        start: the gate, in the dtype and on the device of its layer.

    Attributes:
        v: (C,), a parameter.
    """

    def __init__(self, start: Gate) -> None:
        nn.Module.__init__(self)
        self.v = nn.Parameter(start.scale().detach())
        self.config = start.config
        self._held = None
        self._start = {}

    def scale(self) -> Tensor:
        """v, shape (C,), with gradient."""
        return self.v if self._held is None else self._held
