"""A model's forward as a graph whose nodes are its layers, by dotted name."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from torch import fx, nn

from asr_core.asr.layers import kind_of
from asr_core.errors import TargetError
from asr_core.graph.activations import is_activation
from asr_core.graph.record import image_for, record
from asr_core.modules.copies import copy_structure
from asr_core.verify.parity import tensors_of

_MOST_OPTIONAL = 4
_SIMPLE = (type(None), bool, int, float, str)


class _Tracer(fx.Tracer):
    """Stops at every layer that can take a gate, and keeps the path of modules it is inside."""

    # Else a forward that updates buffers would change the real ones.
    proxy_buffer_attributes = True

    def __init__(self, whole: Collection[str] = ()) -> None:
        super().__init__()
        self.inside: list[str] = []
        self._whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = kind_of(m) is not None or is_activation(m) or module_qualified_name in self._whole
        return own or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy) and result.node.op == "call_module":
            result.node.meta.setdefault("state", (m.training, state_of(m)))
        self.inside.pop()  # not after an exception, to keep the path to what failed
        return result


def state_of(module: nn.Module) -> tuple[Any, ...]:
    """The settings of ``module`` and the identities of its tensors, for comparisons."""
    own = vars(module)  # getattr would be traced as a read
    settings = [item for item in own.items() if isinstance(item[1], (*_SIMPLE, tuple))]
    tensors = [*own["_parameters"].values(), *own["_buffers"].values()]
    return (*(item for item in settings if item[0] != "training"), *map(id, tensors))


def trace(model: nn.Module) -> fx.Graph:
    """The graph of ``model``'s forward in eval mode, optional arguments at their defaults.

    Nothing is computed, and the model is not changed. Layers of :data:`asr_core.asr.layers.KINDS`,
    subclasses included, activations, and other modules of torch's are nodes. Nodes that call a
    module have its mode and :func:`state_of` at that moment in ``meta["state"]``, those that read
    a tensor have it in ``meta["tensor"]``.

    Raises:
        TargetError: the forward depends on values or shapes; naming the module where tracing
            failed.
    """
    return next(_graphs(model))


def trace_all(model: nn.Module, whole: Collection[str] = ()) -> list[fx.Graph]:
    """As :func:`trace`, a graph for each choice of optional arguments, the defaults first.

    The others have flags flipped and further inputs given. ``whole`` names further modules that
    are nodes.

    Raises:
        TargetError: as :func:`trace`; or too many optional arguments.
    """
    return list(_graphs(model, whole))


def _graphs(model: nn.Module, whole: Collection[str] = ()) -> Iterator[fx.Graph]:
    tracer = _Tracer(whole)
    try:
        defaults = _defaults(model)
        for given in itertools.product((False, True), repeat=len(defaults)):
            if any(given) and len(defaults) > _MOST_OPTIONAL:
                raise ValueError(f"{len(defaults)} optional arguments have too many combinations")
            plain = copy_structure(model).eval()
            graph = tracer.trace(plain, concrete_args=_chosen(defaults, given))
            for node in graph.nodes:
                if node.op == "get_attr":
                    node.meta["tensor"] = attrgetter(node.target)(plain)
            yield graph
    except Exception as error:  # A forward may raise anything on a stand-in for its input.
        raise _untraceable(model, tracer.inside, error, "torch.fx cannot trace it") from error


def same_steps(graphs: Iterable[fx.Graph], others: Iterable[fx.Graph]) -> bool:
    """Whether forwards take the same steps, apart from what their modules compute."""
    return [*map(_steps, graphs)] == [*map(_steps, others)]


def _steps(graph: fx.Graph) -> list[Any]:
    number = {node: index for index, node in enumerate(graph.nodes)}
    return [
        (n.op, n.target, fx.node.map_arg((n.args, n.kwargs), lambda node: f"%{number[node]}"))
        for n in graph.nodes
    ]


def follow(model: nn.Module, example: Any = None) -> fx.Graph:
    """The graph of ``model``'s forward, traced or, if it depends on shapes, recorded.

    A recorded graph comes from inputs that have shapes but no values; it cannot be run.

    Args:
        model: as for :func:`trace`.
        example: an input, or a tuple of them, to record the forward on. None: try :func:`trace`,
            then 2 images of the model's own size (timm's ``pretrained_cfg``) or 224 × 224.

    Raises:
        TargetError: neither succeeds; naming the module where it failed.
    """
    if example is None:
        try:
            return trace(model)
        except TargetError:
            example = image_for(model)
            if example is None:
                raise
    inside: list[str] = []
    try:
        return record(copy_structure(model).eval(), example, inside)
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_of(example))
        what = f"it cannot be followed with an input of {shapes}"
        raise _untraceable(model, inside, error, what) from error


def _untraceable(model: nn.Module, inside: list[str], error: Exception, what: str) -> TargetError:
    name = inside[-1] if inside else ""
    where = f"{name!r}, a {type(model.get_submodule(name)).__name__}" if name else "its forward"
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return TargetError(
        f"targets='auto' needs the graph of {type(model).__name__}, but {what}: in {where}: "
        f"{line}. Pass another example input, or name the layers instead, {how_to(model)}"
    )


def how_to(model: nn.Module) -> str:
    """A hint on naming layers in ``targets``, with some of ``model``'s."""
    able = [name for name, module in model.named_modules() if name and kind_of(module) is not None]
    some = f"; among its layers are {', '.join(map(repr, able[-3:]))}" if able else ""
    return (
        "for example targets='layer*.bn3' or targets=lambda module, name: name.endswith('bn3')"
        f"{some}"
    )


def _chosen(defaults: Mapping[str, Any], given: tuple[bool, ...]) -> dict[str, Any]:
    """Values of optional arguments; if given, flags are flipped, and others become inputs."""
    return {
        name: value is not flip if isinstance(value, bool) else value
        for (name, value), flip in zip(defaults.items(), given, strict=True)
        if isinstance(value, bool) or not flip
    }


def _defaults(model: nn.Module) -> dict[str, Any]:
    parameters = inspect.signature(model.forward).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, _SIMPLE)}
