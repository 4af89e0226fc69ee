"""The rules of automatic placement (paper, supplementary, B.2).

Gates go before each residual add, on the last layer of the branch; in a network without residual
adds, before each activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from asr_core.asr.layers import gated_layer, kind_of, lacks_scale, refusal_of
from asr_core.asr.report import Refusal, listed
from asr_core.errors import TargetError
from asr_core.graph.forward import Forward
from asr_core.graph.trace import follow, how_to
from asr_core.placement.changes import Changes
from asr_core.placement.reach import NoFoldError, Seeker


@dataclass(frozen=True)
class Moved:
    """A gate on the output of norms without γ, whose v goes into the layers after them.

    Attributes:
        norms: dotted name of the norm, or names of those whose sum is gated.
        layers: dotted names of the layers whose input channels all take the same v.
    """

    norms: list[str]
    layers: list[str]


@dataclass
class Placement:
    """Where ASR goes in a model.

    Attributes:
        names: dotted names of the layers that take a gate.
        shared: groups of them that share a gate, on their sum.
        moved: gates on norms without γ, which other layers take.
        refusals: places without a gate, by layer or module, with the reason.
    """

    names: list[str] = field(default_factory=list)
    shared: list[list[str]] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class _Search(Forward):
    """The graph, and the rules for norms without γ."""

    def __init__(
        self, model: nn.Module, graph: fx.Graph, *, positive: bool, create_affine: bool
    ) -> None:
        super().__init__(model, graph)
        self._all = dict(model.named_modules(remove_duplicate=False))
        self._positive, self._create_affine = positive, create_affine
        self._changes: Changes | None = None

    def lacks_scale(self, name: str) -> bool:
        """Whether the layer ``name`` is a norm that has, and will get, no γ."""
        return lacks_scale(self.modules[name]) and not self._create_affine

    def move(self, norms: list[str], node: fx.Node, placement: Placement) -> None:
        """Find the layers that take v in place of ``norms``, whose output or sum is ``node``."""
        self._changes = self._changes or Changes([self], self._all)
        try:
            axis, channels = self._output(norms)
            seeker = Seeker(
                self, self._all, axis, self._positive, channels=channels, changes=self._changes
            )
            moved = Moved(norms, seeker.behind(node).layers)
        except NoFoldError as error:
            lacking = [repr(norm) for norm in norms if self.lacks_scale(norm)]
            subject = "it" if len(norms) == 1 else lacking[0]
            reason = (
                f"{subject} has no γ for v, which cannot go into the layers after it: {error}; "
                "create_affine=True creates γ and β"
            )
            for name in norms:
                _refuse(self, name, reason, placement)
            return
        if moved not in placement.moved:
            placement.moved.append(moved)

    def _output(self, norms: list[str]) -> tuple[int, int]:
        """The channel axis of the outputs of ``norms``, and their number of channels."""
        axes = set()
        for name in norms:
            layer = self.modules[name]
            kind = kind_of(layer)
            if kind is None or type(layer) not in kind.types:
                raise NoFoldError(
                    f"{name!r} is a {type(layer).__name__}, which may do more than it"
                )
            axes.add((kind.axis, kind.channels(layer)))
        if len(axes) > 1:
            raise NoFoldError("their outputs have their channels on several axes")
        return axes.pop()


def place(
    model: nn.Module, *, example: Any = None, positive: bool = True, create_affine: bool = False
) -> Placement:
    """Find the places for ASR in the graph of ``model``'s forward; nothing is computed.

    From each residual add, the branch is followed back through channelwise steps (dropout,
    stochastic depth, pooling, permutation, layer scale, live attention, activations), to its last
    layer: norm, convolution, linear, or attention. With an identity shortcut every other term is a
    branch; of two projections, the longer one.

    A network without residual adds, or with a refusal at each, takes gates on the norm before each
    activation, or one gate for the norms whose sum is before it (RepVGG); without norms on
    convolutions, and without those on linear layers. A norm that ends in an activation (timm's
    BatchNormAct2d) takes the gate before that.

    A norm without γ has no parameter for v. Its v goes into the input channels of the layers that
    read the norm, if that is the same function (:class:`asr_core.placement.reach.Seeker`);
    otherwise the norm is refused. So is a layer whose output is also read elsewhere, or that is
    used several times: its gate would act there too.

    Args:
        model: the plain model, in any mode; not changed.
        example: an input, or a tuple of them; needed only if the forward depends on its shapes
            (:func:`asr_core.graph.trace.follow`).
        positive: whether no v will be negative: ReLU passes only such factors on.
        create_affine: whether norms without γ will get one, and take v like others.

    Raises:
        TargetError: the model cannot be traced, or has no such layer.
    """
    graph = follow(model, example)
    forward = _Search(model, graph, positive=positive, create_affine=create_affine)
    placement = Placement()
    for node in forward.nodes:
        if forward.is_sum(node) and forward.outer(node) is None:
            _before_sum(forward, node, placement)
    if not placement.names:
        _before_activations(forward, placement)
    if not (placement.names or placement.moved):
        raise no_place(model, placement.refusals)
    # A layer refused at one sum may be fit for another that all its paths lead to.
    norms = {name for moved in placement.moved for name in moved.norms}
    placement.refusals = [
        r for r in placement.refusals if r.name not in norms.union(placement.names)
    ]
    return placement


def no_place(model: nn.Module, refusals: Sequence[Refusal]) -> TargetError:
    """The error for a ``model`` without a place, or with a refusal at each."""
    why = listed(refusals) if refusals else "it has no residual add and no activation"
    return TargetError(
        f"targets='auto' found no place in this {type(model).__name__}: {why}. "
        f"Name the layers instead, {how_to(model)}"
    )


def _before_sum(forward: _Search, node: fx.Node, placement: Placement) -> None:
    terms = forward.terms(node)
    ends = [forward.back(term) for term in terms]
    identity = next(
        (
            i
            for i, end in enumerate(ends)
            if all(forward.before(end, term) for j, term in enumerate(terms) if j != i)
        ),
        None,
    )
    if identity is not None:
        shortcut = ends[identity]
        branches = [term for i, term in enumerate(terms) if i != identity]
        for branch in branches:
            if forward.layers_between(branch, shortcut):
                _take(forward, branch, node, placement)
        return
    lengths = [min(forward.layers_between(t, u) for u in terms if u is not t) for t in terms]
    longest = max(lengths)
    if longest and len(terms) == 2 and lengths.count(longest) == 1:
        _take(forward, terms[lengths.index(longest)], node, placement)
        return
    for end in ends:
        if name := forward.layer(end):
            reason = (
                f"{len(terms)} branches meet in {_owner(node)!r} and none is the shortcut: "
                "insert_asr(..., targets=, shared=) can give them one gate"
            )
            _refuse(forward, name, _reason(forward, end, node) or reason, placement)


def _before_activations(forward: _Search, placement: Placement) -> None:
    """Prefer norms: convolutions before activations also occur inside live attention."""
    by_family = {"norm": Placement(), "conv": Placement(), "linear": Placement()}
    for node in forward.nodes:
        if forward.is_activation(node) and (data := forward.data(node)):
            branch = node if forward.layer(node) else data[0]
            end = forward.back(branch)
            if name := forward.layer(end):
                _take(forward, branch, node, by_family[_rank(forward, name)])
            elif forward.is_sum(end) and not forward.escapes(end, node):
                ends = [forward.back(term) for term in forward.terms(end)]
                if group := _group(forward, ends, end):
                    _together(forward, group, end, by_family[_rank(forward, group[0])])
    for candidates in by_family.values():
        if not (placement.names or placement.moved):
            placement.names += candidates.names
            placement.shared += candidates.shared
            placement.moved += candidates.moved
            placement.refusals += candidates.refusals


def _rank(forward: Forward, name: str) -> str:
    kind = kind_of(forward.modules[name])
    return kind.family if kind else "norm"


def _group(forward: Forward, ends: list[fx.Node], target: fx.Node) -> list[str]:
    """The layers whose outputs ``target`` sums, if one gate fits all of them; else none."""
    names = [forward.layer(end) for end in ends]
    if not all(names) or len(set(names)) < len(names):
        return []
    kinds = [(forward.modules[name], kind_of(forward.modules[name])) for name in names]
    widths = {kind.channels(layer) for layer, kind in kinds if kind}
    fits = len(widths) == 1 and not any(_reason(forward, end, target) for end in ends)
    return names if fits else []


def _together(forward: _Search, group: list[str], node: fx.Node, placement: Placement) -> None:
    if any(map(forward.lacks_scale, group)):
        forward.move(group, node, placement)
        return
    names = [gated_layer(name, forward.modules[name])[0] for name in group]
    placement.names += names
    placement.shared.append(names)


def _take(forward: _Search, branch: fx.Node, target: fx.Node, placement: Placement) -> None:
    """Add the last layer of ``branch``, which ends in ``target``, to the names or refusals."""
    end = forward.back(branch)
    name = forward.layer(end)
    if not name:
        what = forward.op(end) or str(end.target)
        reason = f"its branch ends in {what!r}, which is no single layer with output channels"
        if (refusal := Refusal(_owner(target), reason)) not in placement.refusals:
            placement.refusals.append(refusal)
        return
    if reason := _reason(forward, end, target):
        _refuse(forward, name, reason, placement)
    elif forward.lacks_scale(name):
        forward.move([name], end, placement)
    elif (name := gated_layer(name, forward.modules[name])[0]) not in placement.names:
        placement.names.append(name)


def _reason(forward: Forward, end: fx.Node, target: fx.Node) -> str:
    """Why the layer ``end`` can take no gate before ``target``; "" if it can."""
    name = forward.layer(end)
    if reason := refusal_of(forward.modules[name]):
        return reason
    if forward.escapes(end, target):
        return "its output is also read elsewhere, where the gate would act too"
    if (uses := forward.uses(name)) > 1:
        return f"it is used {uses} times in one forward, and the gate would act each time"
    return ""


def _refuse(forward: Forward, name: str, reason: str, placement: Placement) -> None:
    refusal = Refusal(gated_layer(name, forward.modules[name])[0], reason)
    if refusal not in placement.refusals:
        placement.refusals.append(refusal)


def _owner(node: fx.Node) -> str:
    """The dotted name of the module whose forward made ``node``."""
    stack = node.meta.get("nn_module_stack")
    return str(next(reversed(stack.values()))[0]) if stack else ""
