"""Ancestors and paths in the graph of a model's forward."""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType
from typing import Any

from torch import fx, nn

from asr_core.asr.layers import kind_of
from asr_core.graph.activations import ACTIVATIONS, canonical, carries_activation
from asr_core.graph.ops import ADDITION, INERT, METADATA, PASSING, PRODUCT, PROJECTIONS


class Forward:
    """The graph of a model's forward, with the questions that placement asks."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.nodes = list(graph.nodes)
        self._bit = {node: 1 << i for i, node in enumerate(self.nodes)}
        self._ancestors: dict[fx.Node, int] = {}
        for node in self.nodes:
            mask = self._bit[node]
            for source in node.all_input_nodes:
                mask |= self._ancestors[source]
            self._ancestors[node] = mask
        self._inputs = self._mask(node for node in self.nodes if node.op == "placeholder")
        self._layers = self._mask(node for node in self.nodes if self.layer(node))

    def _mask(self, nodes: Iterable[fx.Node]) -> int:
        return sum(self._bit[node] for node in nodes)

    def op(self, node: fx.Node) -> str:
        """The canonical name of the step ``node``; "" for inputs, outputs and tensors."""
        if node.op == "call_module":
            return canonical(type(self.modules[str(node.target)]).__name__)
        if node.op not in ("call_function", "call_method"):
            return ""
        return canonical(getattr(node.target, "__name__", str(node.target)))

    def before(self, first: fx.Node, second: fx.Node) -> bool:
        """Whether ``second`` is ``first`` or depends on it."""
        return bool(self._ancestors[second] & self._bit[first])

    def layers_between(self, node: fx.Node, other: fx.Node) -> int:
        """The number of layers that ``node`` depends on and ``other`` does not."""
        own = self._ancestors[node] & ~self._ancestors[other] & self._layers
        return own.bit_count()

    def data(self, node: fx.Node) -> list[fx.Node]:
        """The operands of ``node`` that depend on the model's input."""
        values = [*node.args, *node.kwargs.values()]
        operands = [value for value in values if isinstance(value, fx.Node)]
        return [value for value in operands if self._ancestors[value] & self._inputs]

    def layer(self, node: fx.Node) -> str:
        """The dotted name of the layer whose output ``node`` is, or ""."""
        if node.op == "call_module":
            name = str(node.target)
            return name if kind_of(self.modules[name]) is not None else ""
        if (function := self.op(node)) in PROJECTIONS:
            place, keyword = PROJECTIONS[function]
            weight = node.args[place] if len(node.args) > place else node.kwargs.get(keyword)
            if isinstance(weight, fx.Node) and weight.op == "get_attr":
                name = str(weight.target).rpartition(".")[0]
                return name if kind_of(self.modules[name]) is not None else ""
        return ""

    def uses(self, name: str) -> int:
        """How often the forward calls the layer or reads its tensors directly."""
        calls = sum(node.op == "call_module" and node.target == name for node in self.nodes)
        layer = self.modules[name]
        reads = [
            sum(len(n.users) for n in self.nodes if n.op == "get_attr" and n.target == tensor)
            for tensor in (f"{name}.{own}" for own in layer._parameters)
        ]
        return calls + max(reads, default=0)

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that read the values of ``node``."""
        readers = []
        for user in node.users:
            op = self.op(user)
            asked = canonical(str(user.args[1])) if op == "getattr" else op
            # Attention computes its second output, the weights, before the projection.
            weights = self._is_attention(node) and op == "getitem" and user.args[1] != 0
            if asked not in METADATA and not weights:
                readers.append(user)
        return readers

    def flattens(self, node: fx.Node) -> bool:
        """Whether ``node`` is flatten(1): (N, C, ...) to (N, features)."""
        if self.op(node) != "flatten":
            return False
        if node.op == "call_module":
            module: Any = self.modules[str(node.target)]
            return (module.start_dim, module.end_dim) == (1, -1)
        given = dict(zip(("input", "start_dim", "end_dim"), node.args, strict=False)) | node.kwargs
        return (given.get("start_dim", 0), given.get("end_dim", -1)) == (1, -1)

    def is_sum(self, node: fx.Node) -> bool:
        """Whether ``node`` adds values that depend on the input."""
        return self.op(node) in ADDITION and len(self.data(node)) == 2

    def is_activation(self, node: fx.Node) -> bool:
        """Whether ``node`` is an activation, or a layer that ends in one."""
        name = self.layer(node)
        own = bool(name) and carries_activation(self.modules[name])
        return own or self.op(node) in ACTIVATIONS

    def outer(self, node: fx.Node) -> fx.Node | None:
        """The sum that has the sum ``node`` as a term, with only inert steps between, or None."""
        while len(readers := self.readers(node)) == 1:
            (node,) = readers
            if self.is_sum(node):
                return node
            if self.op(node) not in INERT:
                break
        return None

    def terms(self, node: fx.Node) -> list[fx.Node]:
        """The terms of a sum, with inner sums expanded."""
        terms = []
        for term in self.data(node):
            inner = term
            while self.op(inner) in INERT and len(data := self.data(inner)) == 1:
                inner = data[0]
            is_part = self.is_sum(inner) and self.outer(inner) is node
            terms += self.terms(inner) if is_part else [term]
        return terms

    def back(self, node: fx.Node) -> fx.Node:
        """The layer, or the step that mixes channels, before ``node`` and channelwise steps."""
        while not self.layer(node) and (source := self._source(node)) is not None:
            node = source
        return node

    def is_attentions_output(self, node: fx.Node) -> bool:
        """Whether ``node`` is the first of the two outputs of a MultiheadAttention."""
        if self.op(node) != "getitem" or node.args[1] != 0:
            return False
        return any(map(self._is_attention, self.data(node)))

    def escapes(self, node: fx.Node, target: fx.Node) -> bool:
        """Whether a path from ``node`` to the model's output avoids ``target``."""
        seen = {target}
        waiting = [node]
        while waiting:
            step = waiting.pop()
            if step.op == "output":
                return True
            if step not in seen:
                seen.add(step)
                waiting += self.readers(step)
        return False

    def _source(self, node: fx.Node) -> fx.Node | None:
        """The operand that ``node`` maps channel by channel, or None."""
        data = self.data(node)
        name = self.op(node)
        if name in PASSING:
            return data[0] if data else None
        if name == "getitem" and len(data) == 1:
            index = node.args[1]
            # A number alone may pick one of several tensors.
            of_one = isinstance(index, tuple | slice | EllipsisType)
            return data[0] if of_one or self.is_attentions_output(node) else None
        if name in ADDITION | PRODUCT and len(data) == 1:
            return data[0]
        if name in PRODUCT and len(data) == 2:  # x * gate(x) is x, rescaled
            for x, gate in (data, data[::-1]):
                if x is not gate and self.before(self.back(x), gate):
                    return x
        return None

    def _is_attention(self, node: fx.Node) -> bool:
        modules = self.modules
        return node.op == "call_module" and isinstance(
            modules[str(node.target)], nn.MultiheadAttention
        )
