"""The norm layers of a model, and the affine map that each applies last.

A norm layer's output is y = w ⊙ x̂ + b. Under ASR its weight and bias read as vγ and vβ
(``torch.nn.utils.parametrize``), so that w and b here are always the *effective* ones.
"""

from __future__ import annotations

import fnmatch

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.ops.misc import FrozenBatchNorm2d

from asr_core.asr.gate import Gate
from asr_core.errors import InputError, TargetError
from asr_core.placement.targets import Predicate, Targets
from asr_core.registry import unknown_name

NORM_LAYERS: tuple[type[nn.Module], ...] = (
    _BatchNorm,
    _InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    FrozenBatchNorm2d,
)
"""Every layer whose output is an affine map of normalised features."""

# Subclasses of torchvision and timm whose own forward ends in the plain affine map, by the name of
# the class that defines the forward. Others may add an activation, and are refused.
_PLAIN_AFFINE = ("FrozenBatchNorm2d", "LayerNorm", "LayerNorm2d", "GroupNorm", "GroupNorm1")


def norm_layers(model: nn.Module, layers: Targets | None = None) -> dict[str, nn.Module]:
    """The norm layers of ``model`` by dotted name, without those inside ASR gates.

    A layer with two names appears once, under the first.

    Args:
        model: any module.
        layers: which of them: exact names, globs on the dotted name, or
            ``callable(module, name) -> bool``, one or several; None for all.

    Raises:
        TargetError: one of ``layers`` matches no norm layer; the known ones are listed.
    """
    gates = tuple(f"{name}." for name, m in model.named_modules() if isinstance(m, Gate))
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, NORM_LAYERS) and not name.startswith(gates)
    }
    if layers is None:
        return found
    patterns = [layers] if isinstance(layers, str) or callable(layers) else list(layers)
    chosen: set[str] = set()
    for pattern in patterns:
        matched = {name for name, module in found.items() if _matches(pattern, module, name)}
        if not matched:
            raise TargetError(str(unknown_name("norm layer", str(pattern), list(found))))
        chosen |= matched
    if not chosen:
        raise TargetError(f"layers is empty. Known norm layers: {', '.join(found)}")
    return {name: module for name, module in found.items() if name in chosen}


def require_norm_layers(model: nn.Module, layers: Targets | None = None) -> dict[str, nn.Module]:
    """:func:`norm_layers`, at least one.

    Raises:
        InputError: the model has none.
        TargetError: as :func:`norm_layers`.
    """
    found = norm_layers(model, layers)
    if not found:
        raise InputError(
            f"{type(model).__name__} has no normalisation layer to attack. If they were folded "
            "into the convolutions or exported, attack the model as it was before"
        )
    return found


def _matches(pattern: str | Predicate, layer: nn.Module, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) if isinstance(pattern, str) else pattern(layer, name)


def check_plain_affine(layer: nn.Module, name: str) -> None:
    """Refuse a subclass whose own forward may do more than normalise and apply the affine map.

    Raises:
        TargetError: ``layer`` inherits from a norm layer but has a forward of its own.
    """
    owner = next(base for base in type(layer).__mro__ if "forward" in vars(base))
    if not owner.__module__.startswith("torch.nn.") and owner.__name__ not in _PLAIN_AFFINE:
        raise TargetError(
            f"norm layer {name!r} is a {owner.__name__} with a forward of its own, whose output "
            f"need not be w * x + b. Leave it out with layers="
        )


def channel_axis(layer: nn.Module, output: Tensor) -> int:
    """The axis of ``output`` along which ``layer`` has one γ per channel, counted from the front.

    LayerNorm and RMSNorm have it last (the features of a token), every other norm layer second, and
    so has the channels-first LayerNorm2d of ConvNeXt.

    Raises:
        InputError: InstanceNorm was given features without a batch axis.
    """
    if isinstance(layer, _InstanceNorm) and output.dim() == layer._get_no_batch_dim():
        raise InputError(
            f"{type(layer).__name__} got features of shape {tuple(output.shape)} without a batch "
            "axis; noise needs (N, C, ...): add one with unsqueeze(0)"
        )
    if isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
        owner = next(base for base in type(layer).__mro__ if "forward" in vars(base))
        if owner.__name__ != "LayerNorm2d":
            return output.dim() - 1
    return 1


def effective_affine(layer: nn.Module, output: Tensor) -> tuple[Tensor, Tensor]:
    """The weight w and bias b of y = w ⊙ x̂ + b, shaped to broadcast over ``output``.

    They are in ``output``'s dtype, with gradient; a missing weight is 1, a missing bias 0.
    """
    axis = channel_axis(layer, output)

    def shaped(parameter: Tensor | None, missing: float) -> Tensor:
        if parameter is None:
            return torch.full((), missing, dtype=output.dtype, device=output.device)
        trailing = (1,) * (output.dim() - axis - 1)
        return parameter.reshape(parameter.shape + trailing).to(output.dtype)

    weight = shaped(getattr(layer, "weight", None), 1.0)
    return weight, shaped(getattr(layer, "bias", None), 0.0)


def check_hookable(model: nn.Module) -> None:
    """Refuse models on whose layers hooks don't run, or run under other names.

    Raises:
        InputError: ``model`` is compiled, scripted or wrapped for parallel training.
    """
    if any(
        isinstance(module, torch.jit.ScriptModule)
        or hasattr(module, "_orig_mod")
        or module._compiled_call_impl is not None
        for module in model.modules()
    ):
        raise InputError(
            "a compiled or scripted model cannot be attacked: give the model that it was made from"
        )
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise InputError(
            f"the model is wrapped by {type(model).__name__}: attack its .module, "
            "which takes effect in the wrapped one"
        )
