"""The graph of one forward, recorded on inputs that have shapes but no values.

It works where torch.fx's symbols fail (``if height % 8: pad``), and is valid for that shape alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from asr_core.asr.layers import kind_of
from asr_core.graph.activations import is_activation
from asr_core.verify.parity import tensors_of


def record(model: nn.Module, example: Any, inside: list[str]) -> fx.Graph:
    """The graph of ``model``'s forward on inputs of the example's shapes; nothing is computed.

    Args:
        model: a copy that may be changed: it gets hooks, and keeps what its forward sets.
        example: a tensor, or a tuple of the positional arguments.
        inside: filled with the path of modules that are running; after a failure, where it failed.

    Raises:
        Exception: whatever the forward raises, in particular if it depends on values.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake:
        _drop_values(model, fake)
        recorder = _Recorder(model, inside)
        inputs = tree_map(lambda x: fake.from_tensor(x) if isinstance(x, Tensor) else x, inputs)
        for number, value in enumerate(tensors_of(inputs)):
            recorder.know(value, recorder.graph.placeholder(f"input{number}"))
        with recorder:
            result = model(*inputs)
    recorder.graph.output([recorder.nodes(value) for value in tensors_of(result)])
    return recorder.graph


def _drop_values(model: nn.Module, fake: FakeTensorMode) -> None:
    """Replace parameters and buffers by fakes: a forward that counts would change real ones."""
    for module in model.modules():
        tensors: list[dict[str, Any]] = [module.__dict__[n] for n in ("_parameters", "_buffers")]
        for own in tensors:
            own.update({name: fake.from_tensor(t) for name, t in own.items() if t is not None})


def image_for(model: nn.Module) -> Tensor | None:
    """2 images without values that ``model`` may take; None if it has no convolution."""
    config = getattr(model, "pretrained_cfg", None) or {}
    size = config.get("input_size") if isinstance(config, dict) else config.input_size
    conv = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if size is None and conv is not None:
        size = (conv.in_channels, 224, 224)
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    if size is None or first is None:
        return None
    return torch.empty((2, *size), dtype=first.dtype, device=first.device)


class _Recorder(TorchFunctionMode):
    """Makes a node for each call of a torch function or of a leaf module."""

    def __init__(self, model: nn.Module, inside: list[str]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self._inside = inside
        self._leaves = 0
        self._nodes: dict[int, fx.Node] = {}
        self._alive: list[Tensor] = []  # ids are unique only among living tensors
        self._parameters = {id(p): name for name, p in model.named_parameters()}
        for name, module in model.named_modules():
            leaf = _is_leaf(module)
            module.register_forward_pre_hook(self._enter(name, leaf), with_kwargs=True)
            module.register_forward_hook(self._leave(name, leaf), with_kwargs=True)

    def know(self, value: Tensor, node: fx.Node) -> None:
        """Note that ``node`` gives ``value``."""
        self._nodes[id(value)] = node
        self._alive.append(value)

    def nodes(self, value: Any) -> Any:
        """The node of a tensor, None for a constant one; other values themselves."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._nodes and id(value) in self._parameters:
            node = self.graph.create_node("get_attr", self._parameters[id(value)])
            self.know(value, node)
        return self._nodes.get(id(value))

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._leaves:
            return func(*args, **kwargs)
        sources = self._arguments(args, kwargs)
        result = func(*args, **kwargs)
        if func is Tensor.__setitem__:
            self._add("call_function", func, sources, args[0])
        elif next(tensors_of(result), None) is not None:
            getter = getattr(func, "__name__", "") == "__get__"
            target = func.__self__.__name__ if getter else func
            self._add("call_method" if getter else "call_function", target, sources, result)
        return result

    def _arguments(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return tree_map(self.nodes, tuple(args)), tree_map(self.nodes, dict(kwargs))

    def _add(self, op: str, target: Any, sources: tuple[Any, Any], result: Any) -> None:
        node = self.graph.create_node(op, target, *sources)
        node.meta["nn_module_stack"] = {name: (name, None) for name in self._inside}
        if isinstance(result, Tensor):
            self.know(result, node)
            return
        for index, value in enumerate(result if isinstance(result, list | tuple) else ()):
            if isinstance(value, Tensor):
                self.know(value, self.graph.call_function(operator.getitem, (node, index)))

    def _enter(self, name: str, leaf: bool) -> Callable[..., None]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._inside.append(name)
            self._leaves += leaf

        return enter

    def _leave(self, name: str, leaf: bool) -> Callable[..., None]:
        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            self._inside.pop()
            self._leaves -= leaf
            if leaf and not self._leaves:
                self._add("call_module", name, self._arguments(args, kwargs), result)

        return leave


def _is_leaf(module: nn.Module) -> bool:
    torchs = type(module).__module__.startswith("torch.nn.")
    container = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    return kind_of(module) is not None or is_activation(module) or (torchs and not container)
