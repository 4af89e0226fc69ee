"""The mechanism: a layer's tensors as parametrizations that multiply by the gate's v.

The layer owns its gate once, as the child ``asr``. The parametrizations refer to it from a tuple,
which registers nothing, so the state dict holds the gate once and a deepcopy of the layer refers
to the copy's gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.gate import Gate
from asr_core.asr.layers import Slot, Stock
from asr_core.errors import InputError
from asr_core.modules.writes import Given


class Scale(nn.Module):
    """The parametrization: a tensor times the v of a gate along the slot's axis.

    Whoever reads the effective tensor may write to it, which would be lost. Such writes raise at
    the layer's next forward, at the next read, in ``state_dict``, and on copying, fusing, exporting
    or compiling. Not seen are those that compiled code makes, nor, by insertion, any that the
    layer's own forward makes on inputs of its own. A forward that was compiled before the write
    goes on without a word; the file or the fused model that comes of it does not.

    Args:
        gate: gives v.
        slot: the tensor that v multiplies.
        layer: name of the layer, for messages.
    """

    def __init__(self, gate: Gate, slot: Slot, layer: str) -> None:
        super().__init__()
        self._gate = (gate,)
        self.slot = slot
        self.layer = layer
        self.registered = False
        self.watched = False  # whether others than the layer may read during its forward
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
        """Refuse an assignment: it does not say whether v is in the value.

        Raises:
            InputError: always, but for torch's own call on registration.
        """
        if not self.registered:
            raise NotImplementedError
        raise self._refusal("was assigned to, but v multiplies what it holds")

    def check_unwritten(self) -> None:
        """Raise where an effective tensor that someone read has been written to since.

        Raises:
            InputError: it has: the value is lost, as with ``nn.init.zeros_(layer.weight)``.
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


@torch.compiler.assume_constant_result
def _check_now(scale: Scale) -> None:
    """Check while tracing, in Python, outside of the graph."""
    scale.check_unwritten()


def gate_of(layer: nn.Module) -> Gate | None:
    """The gate that ``layer`` owns, or None."""
    gate = layer._modules.get("asr")
    return gate if isinstance(gate, Gate) else None


def gated_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of ``model`` that own a gate, with their names, in order."""
    return ((n, m) for n, m in model.named_modules() if gate_of(m) is not None)


def own_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` by all their names, without what insertion added to them."""
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
        InputError: something else parametrizes the layer too, or what the gate multiplies.
    """
    found: dict[str, Scale] = {}
    for name, chain in layer.parametrizations.items():
        if "original" not in chain._parameters:
            raise InputError(
                f"{chain[0].layer!r}: the {name!r} that its gate multiplies is no parameter any "
                "more (pruned, or normalised?): make that permanent first, for example by "
                f"torch.nn.utils.prune.remove(layer.parametrizations.{name}, 'original')"
            )
        if len(chain) != 1 or not isinstance(chain[0], Scale):
            others = ", ".join(type(p).__name__ for p in chain if not isinstance(p, Scale))
            raise InputError(
                f"{name!r} of a gated {parametrize.type_before_parametrizations(layer).__name__} "
                f"is also parametrized by {others}: remove that first"
            )
        found[name] = chain[0]
    return found


def attach(name: str, layer: nn.Module, gate: Gate, slots: Iterable[Slot], stock: Stock) -> None:
    """Give ``layer``, called ``name``, the gate and parametrize its tensors by it."""
    gate.stock = stock
    layer.add_module("asr", gate)
    for slot in slots:
        scale = Scale(gate, slot, name)
        parametrize.register_parametrization(layer, slot.tensor, scale)
        scale.registered = True
    # On the generated class, so that they go when the stock class comes back.
    cls: Any = type(layer)
    cls.reset_parameters = _refuse_reset
    cls.register_parameter = _register_parameter
    layer._register_load_state_dict_pre_hook(_take_stock_keys, with_module=True)
    add_hooks(layer)


def add_hooks(module: nn.Module) -> None:
    """Hold v during the forward of ``module``, a gated layer or attention with a gated out_proj."""
    module.register_forward_pre_hook(_hold)
    # Before other hooks, whose reads are not those of the forward.
    module.register_forward_hook(_release, always_call=True, prepend=True)


def remove_hooks(module: nn.Module) -> None:
    """Undo :func:`add_hooks`; nothing happens where there are none."""
    for hooks, ours in ((module._forward_pre_hooks, _hold), (module._forward_hooks, _release)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)


def detach(layer: Any, values: Mapping[str, Tensor]) -> None:
    """Undo :func:`attach`; the originals become plain parameters again, with ``values`` in them.

    They stay the same objects, for the optimizers that hold them. The generated class is left as
    it is: copies of the layer share it.
    """
    stock: Stock = layer.asr.stock
    parameters = dict(layer._parameters)
    for name, chain in layer.parametrizations.items():
        parameters[name] = chain.original
        with torch.no_grad():
            chain.original.copy_(values[name])
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer._modules["parametrizations"], layer._modules["asr"]
    layer._parameters.clear()
    for name in [*stock.parameters, *(name for name in parameters if name not in stock.parameters)]:
        layer._parameters[name] = parameters[name]
    remove_hooks(layer)
    loading = layer._load_state_dict_pre_hooks
    for key in [key for key, hook in loading.items() if hook.hook is _take_stock_keys]:
        del loading[key]


def _held_gate(module: nn.Module) -> Gate | None:
    output = module._modules.get("out_proj")
    return gate_of(module) or (None if output is None else gate_of(output))


def _hold(module: nn.Module, args: Any) -> None:
    gate = _held_gate(module)
    if gate is None or torch.compiler.is_compiling():
        return
    owner = module if gate_of(module) is gate else module._modules["out_proj"]
    watched = _others_read(module)
    for chain in owner.parametrizations.values():  # type: ignore[union-attr,operator]
        if isinstance(chain[0], Scale):
            chain[0].check_unwritten()
            chain[0].watched = watched
    gate.hold()


def _release(module: nn.Module, args: Any, output: Any) -> None:
    gate = _held_gate(module)
    if gate is not None and not torch.compiler.is_compiling():
        gate.release()


def _others_read(module: nn.Module) -> bool:
    """Whether hooks of others run while v is held."""
    last = next(reversed(module._forward_pre_hooks.values()), None)
    return last is not _hold or next(iter(module._forward_hooks.values()), None) is not _release


def _register_parameter(layer: Any, name: str, parameter: nn.Parameter | None) -> None:
    """As :meth:`torch.nn.Module.register_parameter`, which assigning a parameter calls."""
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
