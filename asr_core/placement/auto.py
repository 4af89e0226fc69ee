"""The rules of automatic placement (paper, supplementary, B.2): where ASR normally stands.

Before each residual add, on the last layer of the branch; in a network without residual adds,
before each activation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import fx, nn

from asr_core.errors import TargetError
from asr_core.layers import gated_layer, kind_of, refusal_of
from asr_core.placement.graph import Forward
from asr_core.placement.trace import how_to, trace
from asr_core.report import Refusal


@dataclass
class Placement:
    """Where ASR goes in a model.

    Attributes:
        names: dotted names of the layers that take a gate.
        refusals: layers, or modules that hold a branch, that were meant but take none, and why.
    """

    names: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def place(model: nn.Module) -> Placement:
    """Find the places for ASR in the graph of ``model``'s forward; nothing is computed.

    From each residual add the branch is followed back, through what leaves each channel to itself
    (dropout, stochastic depth, pooling, permutation, layer scale, activations), to its last layer
    (norm, convolution, linear, attention). The branch is what does not lie on the way of the
    shortcut: of an identity all else, of two projections the longer one. In a network without
    residual adds it is the norm or convolution before each activation, or, where there are none,
    the linear layer. A layer is refused where its output is also read on another way, or where
    it is used several times: its gate would act there too.

    Raises:
        TargetError: the model cannot be traced, or has no such layer. It is as before.
    """
    forward = Forward(model, trace(model))
    placement = Placement()
    sums = [node for node in forward.nodes if forward.is_sum(node)]
    inner = [n for n in sums if len(r := forward.readers(n)) == 1 and forward.is_sum(r[0])]
    for node in sums:
        if node not in inner:
            _before_sum(forward, node, placement)
    if not placement.names and not placement.refusals:
        _before_activations(forward, placement)
    if not placement.names:
        said = "; ".join(f"{r.name!r}: {r.reason}" for r in placement.refusals[:3])
        raise TargetError(
            f"targets='auto' found no place in this {type(model).__name__}"
            f"{f' ({said})' if said else ', which has no residual add and no activation'}. "
            f"Name the layers instead, {how_to(model)}"
        )
    return placement


def _before_sum(forward: Forward, node: fx.Node, placement: Placement) -> None:
    terms = forward.terms(node)
    ends = [forward.back(term).end for term in terms]
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
                f"{len(terms)} branches meet in {_owner(node)!r} and none is the shortcut: a gate "
                "on their sum would have to be shared by all"
            )
            _refuse(forward, name, reason, placement)


def _before_activations(forward: Forward, placement: Placement) -> None:
    linear = Placement()
    for node in forward.nodes:
        if forward.is_activation(node) and (data := forward.data(node)):
            name = forward.layer(forward.back(data[0]).end)
            if name:
                kind = kind_of(forward.modules[name])
                plain = kind is not None and kind.name in ("linear", "values")
                _take(forward, data[0], node, linear if plain else placement)
    if not placement.names and not placement.refusals:
        placement.names += linear.names
        placement.refusals += linear.refusals


def _take(forward: Forward, branch: fx.Node, target: fx.Node, placement: Placement) -> None:
    """Put the last layer of ``branch``, which ends in ``target``, among the names or refusals."""
    walk = forward.back(branch)
    name = forward.layer(walk.end)
    if not name:
        what = forward.op(walk.end) or str(walk.end.target)
        reason = f"its branch ends in {what!r}, which is no single layer with output channels"
        placement.refusals.append(Refusal(_owner(target), reason))
        return
    layer = forward.modules[name]
    if reason := refusal_of(layer):
        _refuse(forward, name, reason, placement)
    elif walk.branching:
        reason = "its output is also read elsewhere, where the gate would act too"
        _refuse(forward, name, reason, placement)
    elif (uses := forward.uses(name)) > 1:
        reason = f"it is used {uses} times in one forward, and the gate would act each time"
        _refuse(forward, name, reason, placement)
    else:
        name = gated_layer(name, layer)[0]
        if name not in placement.names:
            placement.names.append(name)


def _refuse(forward: Forward, name: str, reason: str, placement: Placement) -> None:
    refusal = Refusal(gated_layer(name, forward.modules[name])[0], reason)
    if refusal not in placement.refusals:
        placement.refusals.append(refusal)


def _owner(node: fx.Node) -> str:
    """The dotted name of the module in whose forward ``node`` was made."""
    stack = node.meta.get("nn_module_stack")
    return str(next(reversed(stack.values()))[0]) if stack else ""
