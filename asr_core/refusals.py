"""Layers in a state that forbids a gate. All are found before any layer is touched."""

from __future__ import annotations

from collections import defaultdict

from torch import nn
from torch.nn.utils import parametrize

from asr_core.errors import TargetError
from asr_core.layers import LayerKind, present
from asr_core.parametrization import gate_of

Layers = dict[str, tuple[nn.Module, LayerKind]]


def refuse_taken(layers: Layers) -> None:
    """Raise where a layer has a gate already or its tensors are not plain parameters.

    Raises:
        TargetError: naming the layer and the way out.
    """
    for name, (layer, kind) in layers.items():
        gate = gate_of(layer)
        if gate is not None:
            raise TargetError(
                f"{name!r} already has ASR, δ = {gate.config['delta']}: for more gates at a "
                "position fuse_asr first, or insert once with a larger delta"
            )
        if hasattr(layer, "asr"):
            raise TargetError(f"{name!r} has an attribute 'asr' of its own: rename or exclude it")
        if parametrize.is_parametrized(layer):
            names = ", ".join(layer.parametrizations)  # type: ignore[arg-type]
            raise TargetError(
                f"{name!r} is parametrized already ({names}): remove that first "
                "(torch.nn.utils.parametrize.remove_parametrizations), or exclude the layer"
            )
        for slot in kind.slots(layer):
            tensor = getattr(layer, slot.tensor, None)
            if slot.tensor not in layer._parameters and tensor is not None:
                raise TargetError(
                    f"{slot.tensor!r} of {name!r} is not a parameter of its own (weight_norm, "
                    "spectral_norm or pruning?): remove that first, or exclude the layer"
                )
            if tensor is not None and not tensor.is_floating_point():
                raise TargetError(f"{slot.tensor!r} of {name!r} is {tensor.dtype}, not real")
        if not kind.affine and not present(layer, kind):
            raise TargetError(f"{name!r} has no parameter to fold a gate into: exclude it")


def refuse_shared(modules: dict[str, nn.Module], layers: Layers) -> None:
    """Raise where a gate on one layer would also scale another.

    Args:
        modules: all modules by all their names (``remove_duplicate=False``).
        layers: those that are to get a gate.

    Raises:
        TargetError: a layer has two names, or a parameter two owners; both are named.
    """
    names = defaultdict(list)
    owners = defaultdict(list)
    for name, module in modules.items():
        names[id(module)].append(name)
        if names[id(module)] == [name]:
            for tensor, parameter in module._parameters.items():
                if parameter is not None:
                    owners[_identity(parameter)].append(f"{name}.{tensor}".lstrip("."))
    for layer, kind in layers.values():
        if len(names[id(layer)]) > 1:
            both = " and ".join(map(repr, names[id(layer)]))
            raise TargetError(f"one layer has the names {both}: a gate would act at each; exclude")
        for slot in present(layer, kind):
            sharing = owners[_identity(getattr(layer, slot.tensor))]
            if len(sharing) > 1:
                both = " and ".join(map(repr, sharing))
                raise TargetError(
                    f"{both} are one shared parameter: a gate on one would scale the other; "
                    "untie them, or exclude the layer"
                )


def _identity(parameter: nn.Parameter) -> int:
    """Equal for parameters over the same memory, even where the Python objects differ."""
    return parameter.data_ptr() or id(parameter)
