"""Whether changing a layer's parameters changes its output as computed, and nothing else.

Folding a batch norm into a convolution and a constant gate into its neighbours need the same
conditions, many of which torch.fx does not show: hooks, recomputed weights, shared memory.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from asr_core.asr.layers import kind_of, refusal_of
from asr_core.graph.forward import Forward
from asr_core.graph.trace import state_of
from asr_core.modules.copies import attributes
from asr_core.modules.memory import Memory, is_plain, tensors_in
from asr_core.placement.refusals import forbidden

# Subclasses that use their parameters like their stock class.
_AS_STOCK = (
    "torch.nn.modules.linear.NonDynamicallyQuantizableLinear",
    "timm.layers.conv2d_same.Conv2dSame",
    "timm.layers.norm_act.BatchNormAct2d",
    "timm.layers.norm_act.SyncBatchNormAct",
)


def of_a_library(module: nn.Module) -> bool:
    """Whether the class is torch's, torchvision's or timm's, and does what its name says."""
    return type(module).__module__.partition(".")[0] in ("torch", "torchvision", "timm")


def own_code(module: nn.Module) -> list[Callable[..., Any]]:
    """Code of ``module`` itself, not of its class: forward hooks, replaced methods."""
    replaced = (n for n in vars(module) if callable(getattr(type(module), n, None)))
    return [
        *module._forward_hooks.values(),
        *module._forward_pre_hooks.values(),
        *(vars(module)[name] for name in replaced),
    ]


def unfit(layer: nn.Module) -> str:
    """Why ``layer`` may compute something else than its kind and parameters say, or "".

    The reason follows the layer's name.
    """
    kind = kind_of(layer)
    if parametrize.is_parametrized(layer):
        return f"is a {type(layer).__name__}: fuse_asr the model first, or remove parametrizations"
    named = f"{type(layer).__module__}.{type(layer).__qualname__}"
    if kind is None or not (type(layer) in kind.types or named in _AS_STOCK):
        return f"is a {type(layer).__name__}, which may do more than its stock class"
    if own_code(layer):
        return "has hooks, or methods of its own, which may depend on its scale"
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return "runs with hooks on all modules, which may depend on its scale"
    if reason := refusal_of(layer) or forbidden({"": layer}, {"": (layer, kind)}).get("", ""):
        return f"cannot: {reason}"
    for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
        if tensor is not None and not is_plain(tensor):
            return f"holds a {type(tensor).__name__} ({tensor.layout}) as its {name!r}"
    return ""


class Changes:
    """Which layers of a model may have their parameters changed.

    Args:
        forwards: the graphs of the model's forward (:func:`asr_core.graph.trace.trace_all`).
        modules: all modules by all their names (``remove_duplicate=False``).
    """

    def __init__(self, forwards: Sequence[Forward], modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        once = {id(module): (name, module) for name, module in reversed([*modules.items()])}
        self._memory = Memory(tensors_in(once.values()))
        nodes = [node for forward in forwards for node in forward.nodes]
        reads = [node for node in nodes if node.op == "get_attr"]
        self._read = Memory((str(node.target), self._tensor(node)) for node in reads)
        called = [node for node in nodes if node.op == "call_module"]
        self._states: dict[str, set[Any]] = defaultdict(set)
        for node in called:
            self._states[str(node.target)].add(node.meta.get("state"))
        self._uses = [_uses(forward) for forward in forwards]
        # A called module may read tensors that the graph does not show.
        holders = [(name, [modules[name]], True) for name in self._states]
        # Nor does the graph show what a forward computes from tensors alone.
        holders += [(name, [*attributes(module).values()], False) for name, module in once.values()]
        self._reached = Memory(
            (name or "the model", thing)
            for name, things, through in holders
            for thing in _reachable(things, modules=through)
            if isinstance(thing, Tensor)
        )

    def refusal(self, called: str, name: str | None = None) -> str:
        """Why a layer may not be changed, following its name; "" if it may.

        Args:
            called: the module that the graph calls.
            name: the layer inside it; None for itself.
        """
        name = called if name is None else name
        module, layer = self._modules[called], self._modules[name]
        if reason := unfit(layer):
            return reason
        if called not in self._states:
            return "is not called by what the graph of the forward shows"
        for uses in self._uses:
            if uses[id(layer)] != 1:
                return f"is used {uses[id(layer)]} times in one forward, or only in part"
        root = self._modules[""]
        if own_code(module) or root._forward_hooks or root._forward_pre_hooks:
            return "is in a module with hooks, which may depend on its scale"
        if self._states[called] - {None, *((mode, state_of(module)) for mode in (False, True))}:
            return "is changed by the forward itself"
        for tensor, value in tensors_in([(name, layer)]):
            if self._read.sharing(value):
                return f"is not all that reads {tensor!r} in the forward"
            names = self._memory.sharing(value)
            if len(names) > 1 and isinstance(value, nn.Parameter):
                return (
                    f"cannot: {' and '.join(map(repr, names))} are one shared parameter, or views "
                    "of the same memory; untie them"
                )
            if others := set(self._reached.sharing(value)) - {called}:
                return f"may be read by {min(others)!r} outside the graph ({tensor!r})"
        return ""

    def trains(self, called: str) -> bool:
        """Whether the module ``called`` trains even when the model is in eval mode."""
        return any(state is not None and state[0] for state in self._states[called])

    def _tensor(self, node: fx.Node) -> Tensor:
        """The tensor that a ``get_attr`` node reads."""
        if (tensor := node.meta.get("tensor")) is not None:
            return tensor
        return attrgetter(str(node.target))(self._modules[""])


def _uses(forward: Forward) -> Counter[int]:
    """How often a forward calls each module, by identity, modules inside others included."""
    called = [str(node.target) for node in forward.nodes if node.op == "call_module"]
    return Counter(id(inner) for name in called for inner in forward.modules[name].modules())


def _reachable(roots: Iterable[Any], *, modules: bool) -> Iterator[Any]:
    """All that deep copies of ``roots`` would hold, themselves included.

    Functions, which copies of a model share, are not followed; nor are modules unless asked for.
    """
    seen = set()
    waiting = [*roots]
    unfollowed = (type, ModuleType, FunctionType, *(() if modules else (nn.Module,)))
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, unfollowed):
            continue
        seen.add(id(thing))
        yield thing
        if not isinstance(thing, Tensor):
            waiting += gc.get_referents(thing)
