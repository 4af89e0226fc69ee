"""The life of a gate on its layer: attached, held during a forward, and detached again.

This module alone changes layers. Each change is made whole or undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.affine import add_affine, new_affine
from asr_core.asr.folded import folded_tensors
from asr_core.asr.gate import Gate
from asr_core.asr.layers import LayerKind, kind_of, slots_of
from asr_core.asr.parametrization import Scale, gate_of, scales
from asr_core.asr.report import Position
from asr_core.errors import InputError
from asr_core.modules.rollback import all_or_nothing

Values = Sequence[tuple[nn.Module, Mapping[str, Tensor]]]
"""Gated layers, with the tensors that replace their originals."""


def attach(model: nn.Module, positions: Sequence[Position], *, preserve: bool = False) -> None:
    """Give the layers of ``model`` the gates of their ``positions``, all or none, in place.

    Raises:
        InputError: ``preserve`` divides a parameter by v to beyond its dtype.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    pairs = [(modules[position.name], position) for position in positions]
    # Attention reads the tensors of its out_proj without calling that one's forward.
    hosts = [
        host
        for layer, position in pairs
        if isinstance(host := modules.get(position.name.rpartition(".")[0]), nn.MultiheadAttention)
        and host is not layer
    ]
    divided = [
        getattr(layer, slot.tensor)
        for layer, position in (pairs if preserve else ())
        for slot in slots_of(layer, side=position.side)
    ]
    with all_or_nothing([*(layer for layer, _ in pairs), *hosts], divided):
        for layer, position in pairs:
            _attach(model, layer, position)
        for host in hosts:
            _add_hooks(host)
        for layer, position in pairs if preserve else ():
            _divide(layer, position)


def detach(model: nn.Module, values: Values) -> None:
    """Undo :func:`attach`; the originals become plain parameters again, with ``values`` in them.

    The originals stay the same objects, for the optimizers that hold them, and lose their
    gradients. The generated classes stay, because copies of the layers share them.
    """
    modules = list(model.modules())
    originals = [
        chain.original
        for layer, _ in values
        for chain in layer.parametrizations.values()  # type: ignore[operator]
    ]
    with all_or_nothing(modules, originals):
        for layer, tensors in values:
            _detach(layer, tensors)
        for module in modules:
            _remove_hooks(module)
    for original in originals:
        original.grad = None


def reparameterize(layer: nn.Module) -> None:
    """Fuse one gated layer in place, checked; timm.utils calls this as a method by its name."""
    detach(layer, [(layer, folded_tensors(type(layer).__name__, layer))])


def _attach(model: nn.Module, layer: nn.Module, position: Position) -> None:
    gate = position.gate
    kind = cast(LayerKind, kind_of(layer))
    slots = slots_of(layer, position.created, position.side)
    if position.created:
        add_affine(layer, kind, new_affine(model, layer, kind))
    position.parameters = tuple(layer._parameters)
    gate.position = position
    layer.add_module("asr", gate)
    for slot in slots:
        scale = Scale(gate, slot, position.name)
        parametrize.register_parametrization(layer, slot.tensor, scale)
        scale.registered = True
    # On the generated class, so that they vanish when the stock class comes back.
    cls: Any = type(layer)
    cls.reset_parameters = _refuse_reset
    cls.register_parameter = _register_parameter
    cls.reparameterize = reparameterize
    layer._register_load_state_dict_pre_hook(_take_stock_keys, with_module=True)
    _add_hooks(layer)
    gate.mark_start()


def _divide(layer: Any, position: Position) -> None:
    with torch.no_grad():
        v = position.gate.scale()
        for name, scale in scales(layer).items():
            original = layer.parametrizations[name].original
            finite = original.isfinite()
            original.div_(scale.slot.factor(original, v))
            if not torch.equal(original.isfinite(), finite):
                raise InputError(
                    f"preserve=True divides by v, but {name!r} of {position.name!r} over v, "
                    f"at least {v.abs().min().item():.2g}, is beyond {original.dtype}: use a "
                    "larger psi, a wider dtype, or preserve=False"
                )


def _detach(layer: Any, values: Mapping[str, Tensor]) -> None:
    order = layer.asr.position.parameters
    parameters = dict(layer._parameters)
    for name, chain in layer.parametrizations.items():
        parameters[name] = chain.original
        with torch.no_grad():
            chain.original.copy_(values[name])
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer._modules["parametrizations"], layer._modules["asr"]
    layer._parameters.clear()
    for name in [*order, *(name for name in parameters if name not in order)]:
        layer._parameters[name] = parameters[name]
    _remove_hooks(layer)
    loading = layer._load_state_dict_pre_hooks
    for key in [key for key, hook in loading.items() if hook.hook is _take_stock_keys]:
        del loading[key]


def _add_hooks(module: nn.Module) -> None:
    """Hold v during the forward of ``module``, a gated layer or attention with a gated out_proj."""
    module.register_forward_pre_hook(_hold)
    # Before other hooks, which read after the forward.
    module.register_forward_hook(_release, always_call=True, prepend=True)


def _remove_hooks(module: nn.Module) -> None:
    for hooks, ours in ((module._forward_pre_hooks, _hold), (module._forward_hooks, _release)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)


def _owner(module: nn.Module) -> tuple[nn.Module, Gate] | None:
    """The layer that owns the gate to hold, ``module`` or its out_proj, and the gate."""
    for layer in (module, module._modules.get("out_proj")):
        if layer is not None and (gate := gate_of(layer)) is not None:
            return layer, gate
    return None


def _hold(module: nn.Module, args: Any) -> None:
    owner = _owner(module)
    if owner is None or torch.compiler.is_compiling():
        return
    layer, gate = owner
    watched = _others_read(module)
    for chain in layer.parametrizations.values():  # type: ignore[operator]
        if isinstance(chain[0], Scale):
            chain[0].check_unwritten()
            chain[0].watched = watched
    gate.hold()


def _release(module: nn.Module, args: Any, output: Any) -> None:
    owner = _owner(module)
    if owner is not None and not torch.compiler.is_compiling():
        owner[1].release()


def _others_read(module: nn.Module) -> bool:
    """Whether other hooks run while v is held."""
    last = next(reversed(module._forward_pre_hooks.values()), None)
    return last is not _hold or next(iter(module._forward_hooks.values()), None) is not _release


def _register_parameter(layer: Any, name: str, parameter: nn.Parameter | None) -> None:
    """:meth:`torch.nn.Module.register_parameter`, which torch calls on assignment."""
    if name in layer.parametrizations:
        layer.parametrizations[name].right_inverse(parameter)
    nn.Module.register_parameter(layer, name, parameter)


def _refuse_reset(layer: nn.Module) -> None:
    raise InputError(
        f"reset_parameters() of a gated {parametrize.type_before_parametrizations(layer).__name__} "
        "would have no effect: initialise before insert_asr"
    )


def _take_stock_keys(
    layer: Any, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
) -> None:
    """Load a stock checkpoint's "weight" where the gated layer keeps its original.

    Otherwise ``load_state_dict(stock, strict=False)`` would load nothing, silently.
    """
    for name in layer.parametrizations:
        own = f"{prefix}parametrizations.{name}.original"
        if prefix + name in state_dict and own not in state_dict:
            state_dict[own] = state_dict.pop(prefix + name)
