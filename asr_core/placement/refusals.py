"""What forbids a gate on a layer, checked before any layer is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.layers import LayerKind, slots_of
from asr_core.asr.parametrization import gate_of
from asr_core.errors import TargetError
from asr_core.modules.copies import kept_tensors
from asr_core.modules.memory import Memory, overlaps_itself

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Layers = dict[str, tuple[nn.Module, LayerKind]]


def refuse_unready(layers: Layers) -> None:
    """Refuse layers that have a gate already, or no values.

    Raises:
        TargetError: naming the layer and the way out.
    """
    for name, (layer, _) in layers.items():
        if (gate := gate_of(layer)) is not None:
            raise TargetError(
                f"{name!r} already has ASR, δ = {gate.config['delta']}: for more gates at a "
                "position fuse_asr first, or insert once with a larger delta"
            )
        if any(tensor.is_meta for tensor in (*layer.parameters(), *layer.buffers())):
            raise TargetError(
                f"{name!r} is on the meta device and has no values to scale: to_empty() the model "
                "and load its weights first"
            )


def forbidden(modules: dict[str, nn.Module], layers: Layers) -> dict[str, str]:
    """Those of ``layers`` that can take no gate, by name, with the reason and the way out.

    Their tensors are not plain parameters, or a gate would scale another layer too: a layer has
    several names, or a parameter several owners. ``modules`` are all modules by all their names.
    """
    reasons: dict[str, str] = {}
    owners = _Owners(modules)
    for name, (layer, kind) in layers.items():
        # In this order: reading a parametrized tensor may change its state.
        if reason := _taken(layer, kind) or owners.shared(layer):
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
        if tensor is not None and (reason := _unfit(tensor)):
            return f"its {slot.tensor!r} {reason}"
    if any(tensor.is_inference() for tensor in (*layer.parameters(), *layer.buffers())):
        return (
            "it was built under torch.inference_mode(), so nothing may change it: build the model "
            "outside, or give it copies of its tensors (tensor.clone())"
        )
    if kind.family != "norm" and not slots_of(layer):
        return "it has no parameter to fold a gate into: exclude it"
    return ""


def _unfit(tensor: Tensor) -> str:
    """Why v cannot be multiplied into ``tensor`` and divided out; "" if it can."""
    if not tensor.is_floating_point():
        return f"is {tensor.dtype}, not real"
    if tensor.dtype not in _DTYPES:
        return f"is {tensor.dtype}, in which torch does not multiply: convert it first"
    if tensor.layout is not torch.strided:
        return f"is {tensor.layout}, not dense: to_dense() first"
    if overlaps_itself(tensor):
        return "is expanded, so elements share memory: give the layer a clone() of it"
    return ""


class _Owners:
    """The names of each module, and of the tensors in each piece of memory."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self._names: dict[int, list[str]] = defaultdict(list)
        tensors: list[tuple[str, Tensor]] = []
        for name, module in modules.items():
            self._names[id(module)].append(name)
            if self._names[id(module)] == [name]:
                own = ((f"{name}.{tensor}".lstrip("."), value) for tensor, value in _all(module))
                tensors.extend(own)
        self._memory = Memory(tensors)

    def shared(self, layer: nn.Module) -> str:
        """Why a gate on ``layer`` would act elsewhere too, or ""."""
        names = self._names[id(layer)]
        if len(names) > 1:
            both = " and ".join(map(repr, names))
            return f"one layer has the names {both}: a gate would act at each; exclude it"
        for slot in slots_of(layer):
            own = getattr(layer, slot.tensor)
            sharing = self._memory.sharing(own)
            if len(sharing) > 1:
                both = " and ".join(map(repr, sharing))
                same = all(map(own.is_set_to, sharing.values()))
                what = "are one shared parameter" if same else "share memory"
                return (
                    f"{both} {what}: a gate on one would scale the other; untie them, or exclude "
                    "the layer"
                )
        return ""


def _all(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors of ``module`` itself, by name."""
    registered = {**module._parameters, **module._buffers}
    yield from ((name, tensor) for name, tensor in registered.items() if tensor is not None)
    yield from kept_tensors(module)
