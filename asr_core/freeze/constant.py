"""Constants in place of live gates, and nothing in place of folded ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.freeze.gates import GateSite, find_gates


class Constant(nn.Module):
    """A factor v (C,) per channel that does not depend on the input.

    Args:
        v: shape (C,).
        axis: the channel axis of the features: 1, (N, C, H, W), or -1, (N, ..., C).
        multiplies: whether the module gives x * v, or v for the caller to multiply by.
    """

    def __init__(self, v: Tensor, *, axis: int = 1, multiplies: bool = True) -> None:
        super().__init__()
        # A parameter, because every tracer shows those as nodes; frozen.
        shaped = v.reshape(-1, 1, 1) if axis == 1 else v
        self.v = nn.Parameter(shaped.detach().clone(), requires_grad=False)
        self.axis = axis
        self.multiplies = multiplies

    def forward(self, x: Tensor) -> Tensor:
        """x * v, or v in a shape that broadcasts against x."""
        return x * self.v if self.multiplies else self.v

    def extra_repr(self) -> str:
        """Channels, axis and use, for the module's repr."""
        return f"{self.v.numel()}, axis={self.axis}, multiplies={self.multiplies}"


class Open(nn.Module):
    """The gate 1, for a caller that multiplies by its folded gate."""

    def forward(self, x: Tensor) -> Tensor:
        """One, of dtype and device of ``x``."""
        return x.new_ones(())


def put_constant(model: nn.Module, site: GateSite, v: Tensor) -> None:
    """Replace the live gate at ``site``, in place, by the constant v (C,) in the gate's dtype."""
    like = next(model.get_submodule(site.name).parameters(), None)
    if like is None:
        like = next(model.parameters())
    v = v.to(like.device, like.dtype)
    _put(model, site.name, Constant(v, axis=site.axis, multiplies=site.multiplies))


def take_out(model: nn.Module, site: GateSite) -> None:
    """Remove the gate at ``site``, in place."""
    parent = model.get_submodule(site.name.rpartition(".")[0])
    if site.multiplies:
        _put(model, site.name, nn.Identity())
    elif getattr(parent, "attention_is_optional", False):
        _put(model, site.name, None)
    else:
        _put(model, site.name, Open())


def restore_frozen(
    model: nn.Module, names: Iterable[str], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Freeze a model with live gates so that it can load ``tensors``.

    Args:
        model: the model as it was before :func:`asr_core.freeze_attention`; changed in place.
        names: names of the frozen gates.
        tensors: the frozen model's state dict. It holds ``NAME.v`` of a constant that no layer
            took; gates without one were folded.

    Raises:
        InputError: a name that is no live channel gate of the model.
    """
    sites = {site.name: site for site in find_gates(model)[0]}
    for name in names:
        if name not in sites:
            some = ", ".join(map(repr, list(sites)[:3])) or "none"
            raise InputError(f"{name!r} is no live channel gate of the model; it has {some}")
        v = tensors.get(f"{name}.v")
        if v is None:
            take_out(model, sites[name])
        else:
            put_constant(model, sites[name], torch.ones(v.numel()))
    return model


def _put(model: nn.Module, name: str, module: nn.Module | None) -> None:
    parent, _, child = name.rpartition(".")
    owner = model.get_submodule(parent)
    if module is not None:
        module.train(owner.training)
    setattr(owner, child, module)
