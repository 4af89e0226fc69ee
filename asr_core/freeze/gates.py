"""The live channel gates of a model, and those that cannot be frozen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import nn

from asr_core.asr.report import Refusal
from asr_core.attention import CBAM, DIA, Attended, Attention

# By name, so that timm is not imported: the child whose output is the gate, and the channel axis.
# All of these return x * gate.
_MULTIPLYING: dict[str, tuple[str, int]] = {
    "torchvision.ops.misc.SqueezeExcitation": ("scale_activation", 1),
    "timm.layers.squeeze_excite.SEModule": ("gate", 1),
    "timm.layers.squeeze_excite.EffectiveSEModule": ("gate", 1),
    "timm.layers.squeeze_excite.SqueezeExciteCl": ("gate", -1),
    "timm.layers.eca.EcaModule": ("gate", 1),
    "timm.layers.eca.CecaModule": ("gate", 1),
    "timm.models._efficientnet_blocks.SqueezeExcite": ("gate", 1),
    "timm.models.senet.SEModule": ("sigmoid", 1),
}

_POSITION = "its spatial half gives each position another factor, which no constant per channel is"
_STATE = "its one LSTM gives each block of the stage another gate, from those of the blocks before"
_REFUSED: dict[str, str] = {
    "timm.layers.cbam.CbamModule": _POSITION,
    "timm.layers.cbam.LightCbamModule": _POSITION,
}


@dataclass(frozen=True)
class GateSite:
    """A live channel gate in a model.

    Attributes:
        name: dotted name of the module that a constant can replace.
        kind: its class, or that of the attention inside it ("SE").
        gate: dotted name of the module whose output is the gate, one value per image and channel.
        axis: the channel axis of the features.
        multiplies: whether the module returns x * gate, or the gate.
    """

    name: str
    kind: str
    gate: str
    axis: int
    multiplies: bool


def find_gates(model: nn.Module) -> tuple[list[GateSite], list[Refusal]]:
    """The live channel gates of ``model``, in its order, and those that no constant can replace.

    Known classes are ours (:data:`asr_core.ATTENTIONS`), torchvision's SqueezeExcitation, and
    timm's SE, effective SE and ECA modules, without subclasses, which may compute something else.
    """
    sites: list[GateSite] = []
    refusals: list[Refusal] = []
    named = list(model.named_modules(remove_duplicate=False))
    names = Counter(id(module) for _, module in named)
    inside: set[str] = set()
    for name, module in named:
        site: GateSite | None = None
        reason = ""
        cls = f"{type(module).__module__}.{type(module).__qualname__}"
        if isinstance(module, Attended):
            inside.add(f"{name}.attention")
            kind, reason = type(module.attention).__name__, _refusal(module.attention)
            site = GateSite(name, kind, f"{name}.attention", module.axis, True)
        elif isinstance(module, Attention) and name not in inside:
            reason = _refusal(module)
            site = GateSite(name, type(module).__name__, name, 1, False)
        elif cls in _MULTIPLYING:
            child, axis = _MULTIPLYING[cls]
            site = GateSite(name, type(module).__name__, f"{name}.{child}", axis, True)
        elif cls in _REFUSED:
            reason = _REFUSED[cls]
        if site is not None and names[id(module)] > 1:
            reason = reason or "the module has several names, so it gates at several places"
        if reason:
            refusals.append(Refusal(name, reason))
        elif site is not None and name:
            sites.append(site)
    return sites, refusals


def _refusal(attention: nn.Module) -> str:
    if isinstance(attention, CBAM) and attention.spatial is not None:
        return _POSITION
    return _STATE if isinstance(attention, DIA) else ""
