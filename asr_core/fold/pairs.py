"""Which BatchNorms of a model can be folded into the layer before them, and which cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.asr.layers import kind_of
from asr_core.asr.report import Refusal
from asr_core.errors import InputError, TargetError
from asr_core.fold.axes import axes_of, flattened, possible_axes
from asr_core.fold.layer import BEFORE, fold_bn, fold_pairs
from asr_core.graph.forward import Forward
from asr_core.graph.trace import same_steps, trace_all
from asr_core.modules.copies import copy_model
from asr_core.placement.changes import Changes
from asr_core.placement.reach import NoFoldError
from asr_core.verify.parity import evaluating
from asr_core.verify.watch import watching

Pair = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """The batch norms of a model.

    Attributes:
        pairs: names (conv, bn) of those that can be folded, in the order of the forward.
        left: the others, with the reason.
        model: a copy in eval mode with all ``pairs`` folded.
    """

    pairs: Sequence[Pair]
    left: Sequence[Refusal]
    model: nn.Module

    def why_not(self, bn: str) -> str:
        """Why the norm called ``bn`` is not folded into another layer."""
        for refusal in self.left:
            if refusal.name == bn:
                return refusal.reason
        before = next((conv for conv, norm in self.pairs if norm == bn), None)
        return f"it normalises the output of {before!r}" if before else "it is no batch norm"


def find_pairs(model: nn.Module, *, example: Any = None) -> Pairs:
    """The batch norms of ``model`` that can be folded, and the others.

    A pair is a convolution or linear layer whose output only a BatchNorm on running statistics
    reads, both with parameters that may be changed (:mod:`asr_core.placement.changes`) and the same
    channel axis.

    Args:
        model: a plain model, traced in eval mode; not changed.
        example: input (or tuple of inputs), run if classes do not show the channel axis.

    Raises:
        InputError: the forward cannot be traced.
    """
    try:
        graphs = trace_all(model)
    except TargetError as error:
        raise InputError(
            f"cannot find the batch norms to fold: the forward of {type(model).__name__} cannot be "
            f"traced ({error.__cause__ or error}); name the pairs to fold_conv_bn with an example, "
            "or skip folding"
        ) from error
    search = _Search(model, [Forward(model, graph) for graph in graphs])
    conv_of, left = {}, {}
    for bn in search.norms():
        try:
            conv_of[bn] = search.before(bn)
        except NoFoldError as reason:
            left[bn] = str(reason)
    doubtful = [bn for bn, conv in conv_of.items() if search.doubtful(conv, bn)]
    measured = {} if example is None else _axes(copy_model(model), example, doubtful)
    for bn in doubtful:
        if measured.get(bn) != axes_of(search.modules[conv_of[bn]]):
            left[bn] = _wrong_axis(search.modules[conv_of.pop(bn)], measured.get(bn))
    pairs, folded = _unseen(model, graphs, [(conv, bn) for bn, conv in conv_of.items()])
    for bn in conv_of.keys() - {bn for _, bn in pairs}:
        left[bn] = "the model's forward inspects it, or the bias of the layer before it"
    return Pairs(pairs, tuple(Refusal(bn, left[bn]) for bn in search.norms() if bn in left), folded)


def _unseen(
    model: nn.Module, graphs: Sequence[fx.Graph], pairs: list[Pair]
) -> tuple[list[Pair], nn.Module]:
    """Those of ``pairs`` whose folding keeps the steps of the forward, and the folded model."""

    def tried(some: list[Pair]) -> nn.Module | None:
        folded = fold_pairs(model, some)
        try:
            same = same_steps(graphs, trace_all(folded, {bn for _, bn in some}))
        except TargetError:
            return None
        return folded if same else None

    if pairs and (folded := tried(pairs)) is not None:
        return pairs, folded
    alone = [pair for pair in pairs if tried([pair]) is not None]
    if alone and (folded := tried(alone)) is not None:
        return alone, folded
    return [], fold_pairs(model, [])


def changed_by(pairs: Iterable[Pair]) -> set[str]:
    """The names of modules whose outputs folding changes: those that end before the norm."""
    changed: set[str] = set()
    for conv, bn in pairs:
        changed |= {conv} | (_around(conv) - _around(bn))
    return changed


class _Search:
    def __init__(self, model: nn.Module, forwards: Sequence[Forward]) -> None:
        self.modules: Mapping[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
        self._forwards = forwards
        self._changes = Changes(forwards, self.modules)

    def norms(self) -> list[str]:
        """All batch norms, those in the forward first, in its order."""
        nodes = self._forwards[0].nodes
        called = [str(node.target) for node in nodes if node.op == "call_module"]
        unique = self._forwards[0].modules
        return [name for name in dict.fromkeys([*called, *unique]) if _is_norm(unique[name])]

    def before(self, bn: str) -> str:
        """The layer that ``bn`` can be folded into."""
        if reason := self._changes.refusal(bn):
            raise NoFoldError(f"it {reason}")
        if self._changes.trains(bn):
            raise NoFoldError("it is in training mode even in the model's eval mode")
        convs = {self._layer(forward, bn) for forward in self._forwards}
        conv = convs.pop()
        if convs:
            raise NoFoldError("what it normalises depends on the model's optional arguments")
        if reason := self._changes.refusal(conv):
            raise NoFoldError(f"{conv!r} before it {reason}")
        for name in _around(conv) ^ _around(bn):
            module = self.modules[name]
            if module._forward_hooks or module._forward_pre_hooks:
                raise NoFoldError(f"{name!r}, which ends between it and {conv!r}, has hooks")
        try:
            fold_bn(self.modules[conv], self.modules[bn])
        except InputError as error:
            raise NoFoldError(str(error)) from None
        return conv

    def doubtful(self, conv: str, bn: str) -> bool:
        """Whether classes and graph do not show that both have the same channel axis."""
        layer = self.modules[conv]
        if len(possible_axes(layer, self.modules[bn])) == 1:
            return False
        shown = all(flattened(f, _call(f, conv)) for f in self._forwards)
        return not (shown and isinstance(layer, nn.Linear))

    def _layer(self, forward: Forward, bn: str) -> str:
        (before,) = _call(forward, bn).all_input_nodes
        module = self.modules[str(before.target)] if before.op == "call_module" else None
        kind = None if module is None else kind_of(module)
        if kind not in BEFORE:
            what = f"a {type(module).__name__}" if module is not None else _step(forward, before)
            raise NoFoldError(f"it normalises the output of {what}, no layer that could take it")
        if len(before.users) != 1:
            raise NoFoldError(f"the output of {before.target!r} before it is also read elsewhere")
        return str(before.target)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) or "BatchNorm" in type(module).__name__


def _call(forward: Forward, name: str) -> fx.Node:
    return next(n for n in forward.nodes if n.op == "call_module" and n.target == name)


def _step(forward: Forward, node: fx.Node) -> str:
    return "the model's input" if node.op == "placeholder" else f"the step {forward.op(node)!r}"


def _around(name: str) -> set[str]:
    """The names of the modules around a module, without the model's."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


@torch.no_grad()
def _axes(model: nn.Module, example: Any, names: Sequence[str]) -> dict[str, int]:
    """The number of axes of the modules' outputs on ``example``."""
    axes: dict[str, int] = {}
    inputs = example if isinstance(example, tuple) else (example,)
    if names:
        with evaluating(model), watching(model, names, lambda n, out: axes.update({n: out.ndim})):
            model(*inputs)
    return axes


def _wrong_axis(layer: nn.Module, axes: int | None) -> str:
    if axes is None:
        return (
            "its channels are axis 1 of its input, which those of the layer before may not be: "
            "pass an example input"
        )
    return (
        f"its channels are axis 1, those of the {type(layer).__name__} before it are not: there "
        f"are {axes} axes"
    )
