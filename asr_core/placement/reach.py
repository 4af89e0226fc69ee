"""Which layers can take a constant factor per channel, according to the graph of the forward.

v ⊙ x can be folded into what makes x, or into what reads v ⊙ x, if nothing else reads the value on
the way, and each step between lets a factor through: relu(v x) is v relu(x) for v ≥ 0, but
silu(v x) is not v silu(x).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import fx, nn

from asr_core.asr.layers import Side, gated_layer, kind_of, slots_of
from asr_core.graph.activations import canonical
from asr_core.graph.forward import Forward
from asr_core.placement.changes import Changes, of_a_library, own_code

_PRODUCT = ("mul", "imul", "rmul", "multiply")
_SUM = ("add", "iadd", "radd")
_LINEAR = ("identity", "dropout", "contiguous", "clone", "stochasticdepth", "droppath")
"""f(v x) = v f(x), in eval mode."""
_SPATIAL = (
    *("avgpool", "adaptiveavgpool", "interpolate", "upsample"),
    *("reflectionpad", "replicationpad", "zeropad", "circularpad"),
)
"""The same if the channels are axis 1: they work on the axes after it."""
_POSITIVE = ("relu", "leakyrelu", "prelu")
"""The same for v ≥ 0."""
_SPATIAL_POSITIVE = ("maxpool", "adaptivemaxpool")


class NoFoldError(Exception):
    """No layer can take a factor, or a norm; the message says why."""


@dataclass
class Reach:
    """The layers that a constant can be folded into.

    Attributes:
        side: "output" or "input", the channels of the layers that it multiplies.
        layers: dotted names; all of them take it.
        passed: names of other modules on the way, whose outputs change scale.
    """

    side: Side
    layers: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seeker:
    """Finds the layers that constants of a model can be folded into.

    Attributes:
        forward: the graph of the model's forward.
        modules: by all their names.
        axis: the channel axis of what the constant multiplies.
        positive: whether no factor is negative.
        channels: number of factors; if known, they can pass a flatten with as many outputs.
        changes: which layers may be changed; None decides by ``forward`` alone.
    """

    forward: Forward
    modules: dict[str, nn.Module]
    axis: int
    positive: bool
    channels: int | None = None
    changes: Changes | None = None

    def reach(self, name: str) -> Reach:
        """The layers before the :class:`Constant` called ``name``, or else those after it.

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
            raise NoFoldError(f"before it, {reason}; after it, {error}") from None

    def _product(self, name: str) -> tuple[fx.Node, fx.Node]:
        """The node x * v, and x."""
        reads = [n for n in self.forward.nodes if n.op == "get_attr" and n.target == f"{name}.v"]
        users = [user for node in reads for user in node.users]
        if len(users) == 1 and self.forward.op(users[0]) in _PRODUCT:
            data = self.forward.data(users[0])
            if len(data) == 1:
                return users[0], data[0]
        raise NoFoldError("the graph does not show what it multiplies")

    def _before(self, node: fx.Node, reader: fx.Node, reach: Reach) -> None:
        """Add the layers that make ``node``, which only ``reader`` may read."""
        forward = self.forward
        if set(forward.readers(node)) - {reader}:
            raise NoFoldError(f"{_called(node)} is also read elsewhere")
        op, data = forward.op(node), forward.data(node)
        if name := forward.layer(node):
            layer = self._layer(node, name)
            kind = kind_of(self.modules[layer])
            if kind is None or kind.axis != self.axis or not slots_of(self.modules[layer]):
                raise NoFoldError(f"{layer!r} has no parameter for each of these channels")
            if layer not in reach.layers:
                reach.layers.append(layer)
            if layer != name:
                reach.passed.append(name)
        elif op in _SUM and (len(data) == 2 or _adds_zero(node)):
            for term in data:
                self._before(term, node, reach)
        elif len(data) == 1 and (self._lets_through(op) or forward.is_attentions_output(node)):
            self._pass(node, reach)
            self._before(data[0], node, reach)
        else:
            raise NoFoldError(f"{_called(node)} is no layer and lets no factor through")

    def behind(self, node: fx.Node) -> Reach:
        """The layers that read the value of ``node``; all of them take the factor.

        Raises:
            NoFoldError: one of them cannot.
        """
        reach = Reach("input")
        self._behind(node, reach)
        return reach

    def _behind(self, node: fx.Node, reach: Reach) -> None:
        """Add the layers that read ``node``."""
        readers = self.forward.readers(node)
        if not readers:
            raise NoFoldError("nothing reads its output")
        for reader in readers:
            self._into(reader, node, reach)

    def _into(self, reader: fx.Node, node: fx.Node, reach: Reach) -> None:
        """Add ``reader``, or what reads it."""
        if self.forward.data(reader) != [node]:
            raise NoFoldError(f"{_called(reader)} reads something else as well")
        op = self.forward.op(reader)
        if name := self.forward.layer(reader):
            layer = self._layer(reader, name)
            kind = kind_of(self.modules[layer])
            if kind is None or not kind.inputs(self.modules[layer]) or kind.axis != self.axis:
                raise NoFoldError(f"{layer!r} has no weight for each of these channels")
            # As many inputs as channels: after a flatten, one value of each channel.
            if self.channels not in (None, kind.in_channels(self.modules[layer])):
                raise NoFoldError(f"{layer!r} has several inputs for each of these channels")
            reach.layers.append(layer)
        elif self._lets_through(op):
            self._pass(reader, reach)
            self._behind(reader, reach)
        elif self.axis == 1 and self.channels and self.forward.flattens(reader):
            self._pass(reader, reach)
            replace(self, axis=-1)._behind(reader, reach)
        elif op in _POSITIVE + _SPATIAL_POSITIVE and not self.positive:
            raise NoFoldError(f"{_called(reader)} lets no negative factor through")
        else:
            raise NoFoldError(f"{_called(reader)} is no layer and lets no factor through")

    def _lets_through(self, op: str) -> bool:
        always = _LINEAR + (_SPATIAL if self.axis == 1 else ())
        if_positive = _POSITIVE + (_SPATIAL_POSITIVE if self.axis == 1 else ())
        return op in always or (self.positive and op in if_positive)

    def _pass(self, node: fx.Node, reach: Reach) -> None:
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            if own_code(module) or not of_a_library(module):
                raise NoFoldError(f"{_called(node)} has hooks or is no module of a known library")
            reach.passed.append(str(node.target))

    def _layer(self, node: fx.Node, called: str) -> str:
        """The name of the layer with the parameters of the module ``called``.

        Raises:
            NoFoldError: it may not be changed.
        """
        name, layer = gated_layer(called, self.modules[called])
        changes = self.changes or Changes([self.forward], self.modules)
        if reason := changes.refusal(called, name):
            raise NoFoldError(f"{name!r} {reason}")
        for child, module in layer.named_children():
            if not self._lets_through(canonical(type(module).__name__)):
                raise NoFoldError(f"{child!r} of {name!r} lets no factor through")
        return name


def _adds_zero(node: fx.Node) -> bool:
    """Whether a sum adds 0: blocks do for a branch that they lack."""
    return any(type(value) in (int, float) and value == 0 for value in node.args)


def _called(node: fx.Node) -> str:
    """The name of a node in messages."""
    return repr(str(node.target)) if node.op == "call_module" else f"the step {node.name!r}"
