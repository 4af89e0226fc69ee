"""Layers in a state that forbids a gate. All are found before any layer is touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from torch import nn
from torch.nn.utils import parametrize

from asr_core.errors import TargetError
from asr_core.layers import LayerKind, present
from asr_core.parametrization import gate_of

Layers = dict[str, tuple[nn.Module, LayerKind]]


def refuse_gated(layers: Layers) -> None:
    """Raise where a layer has a gate already.

    Raises:
        TargetError: naming the layer and the way out.
    """
    for name, (layer, _) in layers.items():
        gate = gate_of(layer)
        if gate is not None:
            raise TargetError(
                f"{name!r} already has ASR, δ = {gate.config['delta']}: for more gates at a "
                "position fuse_asr first, or insert once with a larger delta"
            )


def forbidden(modules: dict[str, nn.Module], layers: Layers) -> dict[str, str]:
    """Those of ``layers`` that can take no gate, by name, with the reason and the way out.

    Their tensors are not plain parameters of their own, or a gate would scale another layer too:
    a layer has several names, or a parameter several owners.

    Args:
        modules: all modules by all their names (``remove_duplicate=False``).
        layers: those that are to get a gate.
    """
    reasons: dict[str, str] = {}
    owners = _Owners(modules)
    for name, (layer, kind) in layers.items():
        # Not both: reading a tensor that has another parametrization may change its state.
        if reason := _taken(layer, kind) or owners.shared(layer, kind):
            reasons[name] = reason
    return reasons


def _taken(layer: nn.Module, kind: LayerKind) -> str:
    if hasattr(layer, "asr"):
        return "it has an attribute 'asr' of its own: rename that, or exclude the layer"
    if parametrize.is_parametrized(layer):
        names = ", ".join(layer.parametrizations)  # type: ignore[arg-type]
        return (
            f"it is parametrized already ({names}): remove that first "
            "(torch.nn.utils.parametrize.remove_parametrizations), or exclude the layer"
        )
    for slot in kind.slots(layer):
        tensor = getattr(layer, slot.tensor, None)
        if slot.tensor not in layer._parameters and tensor is not None:
            return (
                f"its {slot.tensor!r} is not a parameter of its own (weight_norm, spectral_norm or "
                "pruning?): remove that first, or exclude the layer"
            )
        if tensor is not None and not tensor.is_floating_point():
            return f"its {slot.tensor!r} is {tensor.dtype}, not real"
    if not kind.affine and not present(layer, kind):
        return "it has no parameter to fold a gate into: exclude it"
    return ""


class _Owners:
    """Who has what, by identity."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self._names: dict[int, list[str]] = defaultdict(list)
        self._owners: dict[int, list[str]] = defaultdict(list)
        for name, module in modules.items():
            self._names[id(module)].append(name)
            if self._names[id(module)] == [name]:
                for tensor, parameter in _parameters(module):
                    self._owners[_identity(parameter)].append(f"{name}.{tensor}".lstrip("."))

    def shared(self, layer: nn.Module, kind: LayerKind) -> str:
        """Why a gate on ``layer`` would act elsewhere too, or empty."""
        names = self._names[id(layer)]
        if len(names) > 1:
            both = " and ".join(map(repr, names))
            return f"one layer has the names {both}: a gate would act at each; exclude it"
        for slot in present(layer, kind):
            sharing = self._owners[_identity(getattr(layer, slot.tensor))]
            if len(sharing) > 1:
                both = " and ".join(map(repr, sharing))
                return (
                    f"{both} are one shared parameter: a gate on one would scale the other; untie "
                    "them, or exclude the layer"
                )
        return ""


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module._parameters.items() if p is not None)


def _identity(parameter: nn.Parameter) -> int:
    """Equal for parameters over the same memory, even where the Python objects differ."""
    return parameter.data_ptr() or id(parameter)
