"""Which layers can take a constant factor per channel, found in the graph of a model's forward.

v ⊙ x is the same when v is folded into what makes x, or into what reads v ⊙ x, as long as nothing
else reads the value on the way, and what lies between lets a factor through: relu(v x) is v relu(x)
for v ≥ 0, which holds for no SiLU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from asr_core.activations import canonical
from asr_core.layers import gated_layer, kind_of, present, refusal_of
from asr_core.placement.graph import Forward
from asr_core.refusals import forbidden

_PRODUCT = ("mul", "imul", "rmul", "multiply")
_SUM = ("add", "iadd", "radd")
_LINEAR = ("identity", "dropout", "contiguous", "clone", "stochasticdepth", "droppath")
"""f(v x) = v f(x), in eval mode."""
_POSITIVE = ("relu", "leakyrelu", "prelu", "maxpool")
"""The same for v ≥ 0."""
# They do with their parameters what their stock class does.
_AS_STOCK = ("NonDynamicallyQuantizableLinear", "Conv2dSame", "BatchNormAct2d")
_READING = ("conv", "conv transpose", "linear")


class NoFoldError(Exception):
    """No layer can take the factor; the text says why."""


@dataclass
class Reach:
    """Where a constant can be folded.

    Attributes:
        side: "output" or "input", the channels of the layers that it multiplies.
        layers: dotted names; all of them take it.
        passed: names of other modules on the way, whose outputs change scale.
    """

    side: str
    layers: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seeker:
    """Asks where constants of a model can go.

    Attributes:
        forward: the graph of the model's forward.
        modules: by all their names.
        axis: the channel axis of what the constant multiplies.
        positive: whether no factor is negative.
    """

    forward: Forward
    modules: dict[str, nn.Module]
    axis: int
    positive: bool

    def reach(self, name: str) -> Reach:
        """The layers before the :class:`Constant` called ``name``, or else the one behind it.

        Raises:
            NoFoldError: neither can take it.
        """
        product, x = self._product(name)
        before, behind = Reach("output"), Reach("input")
        try:
            self._before(x, product, before)
            return before
        except NoFoldError as error:
            reason = str(error)
        try:
            self._behind(product, behind)
            return behind
        except NoFoldError as error:
            raise NoFoldError(f"before it, {reason}; behind it, {error}") from None

    def _product(self, name: str) -> tuple[fx.Node, fx.Node]:
        """The node x * v, and x."""
        found = [n for n in self.forward.nodes if n.op == "get_attr" and n.target == f"{name}.v"]
        users = [user for node in found for user in node.users]
        if len(users) == 1 and self.forward.op(users[0]) in _PRODUCT:
            data = self.forward.data(users[0])
            if len(data) == 1:
                return users[0], data[0]
        raise NoFoldError("the graph does not show what it multiplies")

    def _before(self, node: fx.Node, reader: fx.Node, found: Reach) -> None:
        """Add the layers whose outputs make ``node``, which ``reader`` alone may read."""
        forward = self.forward
        if set(forward.readers(node)) - {reader}:
            raise NoFoldError(f"{_called(node)} is also read elsewhere")
        op, data = forward.op(node), forward.data(node)
        if name := forward.layer(node):
            layer = self._layer(node, name)
            kind = kind_of(self.modules[layer])
            if kind is None or kind.axis != self.axis or not present(self.modules[layer], kind):
                raise NoFoldError(f"{layer!r} has no parameter for each of these channels")
            if layer not in found.layers:
                found.layers.append(layer)
            if layer != name:
                found.passed.append(name)
        elif op in _SUM and (len(data) == 2 or _adds_zero(node)):
            for term in data:
                self._before(term, node, found)
        elif len(data) == 1 and (self._lets_through(op) or self._is_attentions_output(node)):
            self._pass(node, found)
            self._before(data[0], node, found)
        else:
            raise NoFoldError(f"{_called(node)} is no layer and lets no factor through")

    def _behind(self, node: fx.Node, found: Reach) -> None:
        """Add the layer that reads ``node``, which nothing else may read."""
        readers = self.forward.readers(node)
        if len(readers) != 1:
            raise NoFoldError(f"{len(readers)} steps read its output")
        reader = readers[0]
        if self.forward.data(reader) != [node]:
            raise NoFoldError(f"{_called(reader)} reads something else as well")
        if name := self.forward.layer(reader):
            layer = self._layer(reader, name)
            kind = kind_of(self.modules[layer])
            if kind is None or kind.name not in _READING or kind.axis != self.axis:
                raise NoFoldError(f"{layer!r} has no weight for each of these channels")
            found.layers.append(layer)
        elif self._lets_through(self.forward.op(reader)):
            self._pass(reader, found)
            self._behind(reader, found)
        else:
            raise NoFoldError(f"{_called(reader)} is no layer and lets no factor through")

    def _lets_through(self, op: str) -> bool:
        return op in _LINEAR or (op in _POSITIVE and self.positive)

    def _is_attentions_output(self, node: fx.Node) -> bool:
        (attention,) = self.forward.data(node)
        module = self.modules.get(str(attention.target)) if attention.op == "call_module" else None
        first = self.forward.op(node) == "getitem" and node.args[1] == 0
        return bool(first) and isinstance(module, nn.MultiheadAttention)

    def _pass(self, node: fx.Node, found: Reach) -> None:
        if node.op == "call_module":
            found.passed.append(str(node.target))

    def _layer(self, node: fx.Node, name: str) -> str:
        """The name of the layer that holds the parameters, if it may be changed.

        Raises:
            NoFoldError: it may not.
        """
        called: Any = self.modules[name]
        uses = self.forward.uses(name)
        name, layer = gated_layer(name, called)
        kind = kind_of(layer)
        stock = kind is not None and type(layer) in kind.types
        if kind is None or not (stock or type(layer).__name__ in _AS_STOCK):
            raise NoFoldError(f"{name!r} is a {type(layer).__name__}, which may do more than it")
        if node.op != "call_module" or uses != 1:
            raise NoFoldError(f"{name!r} is used {uses} times in one forward, or only in part")
        for module in {id(called): called, id(layer): layer}.values():
            if module._forward_hooks or module._forward_pre_hooks:
                raise NoFoldError(f"{name!r} has hooks, which may depend on its scale")
        for child, module in layer.named_children():
            if not self._lets_through(canonical(type(module).__name__)):
                raise NoFoldError(f"{child!r} of {name!r} lets no factor through")
        reasons = forbidden(self.modules, {name: (layer, kind)})
        if reason := refusal_of(layer) or reasons.get(name, ""):
            raise NoFoldError(f"{name!r} cannot: {reason}")
        return name


def _adds_zero(node: fx.Node) -> bool:
    """Whether a sum is its one operand: blocks say so of a branch that they lack."""
    return any(type(value) in (int, float) and value == 0 for value in node.args)


def _called(node: fx.Node) -> str:
    """What a node is called in messages: a module by its name."""
    return repr(str(node.target)) if node.op == "call_module" else f"the step {node.name!r}"
