"""Blocks of parallel convolutions, each with its BatchNorm, as one convolution.

Convolution is linear: Σᵢ BNᵢ(Kᵢ * x) is one convolution with the kernel Σᵢ sᵢ ⊙ Kᵢ, all Kᵢ padded
with zeros to one size (Ding et al. 2019, arXiv 1908.03930, sec. 3.2; Ding et al. 2021, arXiv
2101.03697, sec. 3.3).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import fx, nn

from asr_core.asr.fuse import fuse_asr
from asr_core.asr.layers import CONV
from asr_core.asr.report import Refusal
from asr_core.errors import InputError, TargetError
from asr_core.fold.kernels import identity_conv, merge_convs
from asr_core.fold.layer import fold_bn
from asr_core.graph.forward import Forward
from asr_core.graph.trace import same_steps, trace_all
from asr_core.modules.copies import become
from asr_core.modules.memory import Memory, tensors_in
from asr_core.placement.changes import own_code, unfit
from asr_core.verify.layer_oracle import synthetic_inputs
from asr_core.verify.parity import check_parity

Branch = tuple[nn.Module | None, nn.Module | None]
"""A convolution, or None for the input itself; and its norm, if any."""

_TOLERANCE = 1e-10


class Branched(nn.Module):
    """A block of branches that :func:`merge_branches` turns into one convolution at inference."""

    def branches(self) -> Sequence[Branch]:
        """The branches, whose outputs are summed."""
        raise NotImplementedError

    def around(self, conv: nn.Module) -> nn.Module:
        """The module that replaces the block, given ``conv`` in place of the branches."""
        return conv

    def fuse(self) -> nn.Module:
        """The module that replaces the block at inference; the block is not changed.

        Gates are fused first. All is computed in float64 and rounded once.
        ``timm.utils.reparameterize_model`` calls the method of this name.

        Raises:
            InputError: the branches do not add up to one convolution.
            ParityError: in float64 the result differs from the block in eval mode.
        """
        plain: Any = fuse_asr(self)
        exact = copy.deepcopy(plain).cpu().double().eval()
        conv: Any = _sum(exact.branches())
        example = next(iter(synthetic_inputs(conv, CONV, torch.float64)))
        check_parity(exact, exact.around(conv), example, tolerance=_TOLERANCE).require()
        like = next(branch.weight for branch, _ in plain.branches() if branch is not None)
        return plain.around(conv.to(like.device, like.dtype)).train(self.training)


def branched(model: nn.Module) -> list[str]:
    """Names of the blocks of ``model`` that :func:`merge_branches` merges, in order."""
    return [name for name, module in model.named_modules() if isinstance(module, Branched)]


def find_blocks(model: nn.Module) -> tuple[list[str], list[Refusal]]:
    """Names of the blocks of ``model`` that may be merged; and the others, with the reason.

    A block stays if it or a layer of its branches has hooks or tensors other than plain parameters,
    or if the forward uses such a layer outside the block.
    """
    names = branched(model)
    forwards = [Forward(model, graph) for graph in _graphs(model)] if names else []
    refusals = []
    for name in names:
        block = model.get_submodule(name)
        if reason := _own_state(block) or _outside(block, forwards):
            refusals.append(Refusal(name, reason))
    left = {refusal.name for refusal in refusals}
    return [name for name in names if name not in left], refusals


def merge_branches(model: nn.Module, names: Iterable[str] | None = None) -> nn.Module:
    """A copy of ``model`` in eval mode, whose blocks of parallel branches are one convolution.

    Gates are fused first, in the whole model (:func:`asr_core.fuse_asr`), so that merging a gated
    model and merging its fused one are the same. Live attention stays, after the convolution.
    ``timm.utils.reparameterize_model`` gives the same tensors, gated stock layers included, but in
    the mode of ``model``, and not if ``model`` itself is a block.

    Args:
        model: with gates or plain, in any mode; not changed.
        names: names of the :class:`Branched` blocks; None takes all.

    Raises:
        InputError: a name is not that of a block, or of one that must stay (:func:`find_blocks`),
            or branches do not add up to one convolution.
        ParityError: a merged block, or a fused layer, differs.
    """
    merged = fuse_asr(model).eval()
    known = branched(merged)
    names = known if names is None else list(names)
    for name in names:
        if name not in known:
            raise InputError(
                f"no block {name!r} with branches to merge; the model has "
                f"{', '.join(map(repr, known[:5])) or 'none'}{', …' if len(known) > 5 else ''}"
            )
    for refusal in find_blocks(merged)[1] if names else ():
        if refusal.name in names:
            raise InputError(f"cannot merge {refusal.name!r}: {refusal.reason}")
    before = _graphs(merged, names) if names else []
    for name in dict.fromkeys(names):
        block: Any = merged.get_submodule(name)
        become(block, block.fuse())
    if before and "" not in names and not same_steps(before, _graphs(merged, names)):
        raise InputError(
            f"cannot merge {', '.join(map(repr, names))}: the forward of {type(model).__name__} "
            "inspects them"
        )
    return merged


def _graphs(model: nn.Module, whole: Collection[str] = ()) -> list[fx.Graph]:
    """The graphs, or none: using a merged block from outside then fails loudly."""
    try:
        return trace_all(model, whole)
    except TargetError:
        return []


def _layers(block: Any) -> list[nn.Module]:
    # Without the Identity that fold_conv_bn leaves.
    layers = [layer for branch in block.branches() for layer in branch if layer is not None]
    return [layer for layer in layers if not isinstance(layer, nn.Identity)]


def _own_state(block: nn.Module) -> str:
    if own_code(block):
        return "it has hooks, or methods of its own, which may depend on what is inside"
    reasons = ((layer, unfit(layer)) for layer in _layers(block))
    said = (f"the {type(layer).__name__} in it {reason}" for layer, reason in reasons if reason)
    return next(said, "")


def _outside(block: nn.Module, forwards: Iterable[Forward]) -> str:
    """Why ``block`` stays if its layers are called, or their tensors read, outside it; else ""."""
    layers = {id(layer) for layer in _layers(block)}
    memory = Memory(tensors_in(("", layer) for layer in _layers(block)))
    for forward in forwards:
        for node in forward.nodes:
            stack = ["", *(name for name, _ in node.meta.get("nn_module_stack", {}).values())]
            if any(forward.modules[name] is block for name in stack):
                continue
            called = forward.modules[str(node.target)] if node.op == "call_module" else None
            tensor = node.meta.get("tensor")
            if id(called) in layers or (tensor is not None and memory.sharing(tensor)):
                return "what is inside is used outside it as well"
    return ""


def _sum(branches: Sequence[Branch]) -> nn.Module:
    like = next((conv for conv, _ in branches if conv is not None), None)
    if like is None:
        raise InputError("a block without a convolution among its branches cannot become one")
    convs = []
    for conv, bn in branches:
        conv = identity_conv(like) if conv is None else conv
        convs.append(conv if bn is None or isinstance(bn, nn.Identity) else fold_bn(conv, bn))
    return merge_convs(convs)
