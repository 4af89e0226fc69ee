"""The parametrization that multiplies a layer's tensor by the gate's v.

The layer owns its gate, as the child ``asr``. The parametrizations refer to it from a tuple, which
registers nothing, so the state dict holds the gate once and a deepcopy of the layer refers to the
copy's gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.gate import Gate
from asr_core.asr.layers import Slot
from asr_core.errors import InputError
from asr_core.modules.writes import Given


class Scale(nn.Module):
    """The parametrization: a tensor times the v of a gate along the slot's axis.

    A write to the effective tensor would be lost. It raises at the layer's next forward, at the
    next read, in ``state_dict``, and on copying, fusing, exporting or compiling. Writes by compiled
    code, and by the layer's own forward, go unnoticed. A forward that was compiled before the write
    still runs, but saving or fusing the model raises.

    Args:
        gate: the source of v.
        slot: the tensor that v multiplies.
        layer: name of the layer, for messages.
    """

    def __init__(self, gate: Gate, slot: Slot, layer: str) -> None:
        super().__init__()
        self._gate = (gate,)
        self.slot = slot
        self.layer = layer
        self.registered = False
        self.watched = False  # whether hooks may read during the layer's forward
        self._given = Given()

    def forward(self, original: Tensor) -> Tensor:
        """The effective tensor."""
        gate = self._gate[0]
        effective = self.slot.scaled(original, gate.scale())
        if torch.compiler.is_compiling():
            _check_now(self)
        elif self.registered and (self.watched or not gate.held):
            self.check_unwritten()
            self._given.add(effective)
        return effective

    def right_inverse(self, value: Tensor) -> Tensor:
        """Refuse an assignment, which does not say whether the value includes v.

        Raises:
            InputError: always, except for torch's own call on registration.
        """
        if not self.registered:
            raise NotImplementedError
        raise self._refusal("was assigned to, but v multiplies what it holds")

    def check_unwritten(self) -> None:
        """Raise where an effective tensor was written to after it was read.

        Raises:
            InputError: the value would be lost, as with ``nn.init.zeros_(layer.weight)``.
        """
        if self._given.written():
            raise self._refusal("was written in place, which has no effect")

    def __getstate__(self) -> dict[str, Any]:
        self.check_unwritten()
        return {**self.__dict__, "_given": Given()}

    def _save_to_state_dict(self, *args: Any) -> None:
        self.check_unwritten()
        super()._save_to_state_dict(*args)

    def _refusal(self, what: str) -> InputError:
        name = self.slot.tensor
        return InputError(
            f"{self.layer!r}: a {name!r} with a gate {what}: initialise before insert_asr, or "
            f"write to layer.parametrizations.{name}.original"
        )


def _check_now(scale: Scale) -> None:
    """Check while tracing, outside the graph."""
    scale.check_unwritten()


# What torch.compiler.assume_constant_result sets, without its import of the whole compiler.
_check_now._dynamo_marked_constant = True  # type: ignore[attr-defined]


def gate_of(layer: nn.Module) -> Gate | None:
    """The gate that ``layer`` owns, or None."""
    gate = layer._modules.get("asr")
    return gate if isinstance(gate, Gate) else None


def gated_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of ``model`` that own a gate, with their names, in order."""
    return ((n, m) for n, m in model.named_modules() if gate_of(m) is not None)


def own_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` by all their names, without those that insertion added."""
    modules = dict(model.named_modules(remove_duplicate=False))
    added = tuple(
        f"{name}.{child}".lstrip(".")
        for name, module in modules.items()
        if gate_of(module) is not None
        for child in ("asr", "parametrizations")
    )
    inside = tuple(f"{name}." for name in added)
    return {n: m for n, m in modules.items() if n not in added and not n.startswith(inside)}


def scales(layer: Any) -> dict[str, Scale]:
    """The parametrizations of a gated ``layer`` by tensor name.

    Raises:
        InputError: something else parametrizes a gated tensor, or replaced its original.
    """
    scaled: dict[str, Scale] = {}
    for name, chain in layer.parametrizations.items():
        if "original" not in chain._parameters:
            raise InputError(
                f"{chain[0].layer!r}: the {name!r} that its gate multiplies is no longer a "
                "parameter (pruned, or normalised?): make that permanent first, for example by "
                f"torch.nn.utils.prune.remove(layer.parametrizations.{name}, 'original')"
            )
        if len(chain) != 1 or not isinstance(chain[0], Scale):
            others = ", ".join(type(p).__name__ for p in chain if not isinstance(p, Scale))
            raise InputError(
                f"{name!r} of a gated {parametrize.type_before_parametrizations(layer).__name__} "
                f"is also parametrized by {others}: remove that first"
            )
        scaled[name] = chain[0]
    return scaled
