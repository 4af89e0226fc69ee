"""Blocks of parallel convolutions, each with its BatchNorm, as one convolution.

Convolution is linear: Σᵢ BNᵢ(Kᵢ * x) is one convolution with the kernel Σᵢ sᵢ ⊙ Kᵢ, all Kᵢ padded
with zeros to one size (Ding et al. 2019, arXiv 1908.03930, sec. 3.2; Ding et al. 2021, arXiv
2101.03697, sec. 3.3).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from asr_core.errors import InputError
from asr_core.fold.kernels import identity_conv, merge_convs
from asr_core.fold.norms import fold_bn
from asr_core.fuse import fuse_asr
from asr_core.layers import KINDS
from asr_core.parity import check_parity
from asr_core.probe import synthetic_inputs

Branch = tuple[nn.Module | None, nn.Module | None]
"""A convolution, or None where the branch reads the input as it is; and its norm, if any."""

_CONV = next(kind for kind in KINDS if kind.name == "conv")
_TOLERANCE = 1e-10


class Branched(nn.Module):
    """A block that is one convolution, and what comes behind it, at inference.

    Subclasses say what their branches are, and :func:`merge_branches` does the rest.
    """

    def branches(self) -> Sequence[Branch]:
        """The branches, whose outputs are summed."""
        raise NotImplementedError

    def around(self, conv: nn.Module) -> nn.Module:
        """What takes the block's place when ``conv`` takes the branches'."""
        return conv

    def fuse(self) -> nn.Module:
        """What takes the block's place at inference; the block is not changed.

        Gates are fused first. The arithmetic is in float64, and rounded once. The name is the one
        that ``timm.utils.reparameterize_model`` looks for in a model's modules, though not in
        the model itself.

        Raises:
            InputError: branches that are no one convolution.
            ParityError: in float64 the result differs from the block in eval mode.
        """
        plain: Any = fuse_asr(self)
        exact = copy.deepcopy(plain).cpu().double().eval()
        conv: Any = _sum(exact.branches())
        example = next(iter(synthetic_inputs(conv, _CONV, torch.float64)))
        check_parity(exact, exact.around(conv), example, tolerance=_TOLERANCE).require()
        like = next(branch.weight for branch, _ in plain.branches() if branch is not None)
        return plain.around(conv.to(like.device, like.dtype)).train(self.training)


def branched(model: nn.Module) -> list[str]:
    """Names of the blocks of ``model`` that :func:`merge_branches` merges, in order."""
    return [name for name, module in model.named_modules() if isinstance(module, Branched)]


def merge_branches(model: nn.Module, names: Iterable[str] | None = None) -> nn.Module:
    """A copy of ``model`` in eval mode, whose blocks of parallel branches are one convolution.

    Gates are fused first, in the whole model (:func:`asr_core.fuse_asr`), so that merging a gated
    model and merging its fused one are the same. Live attention stays, behind the convolution.
    ``timm.utils.reparameterize_model`` gives the same tensors, gated stock layers included, but in
    the mode of ``model``, and it never touches ``model`` itself, only what is inside.

    Args:
        model: with gates or plain, in any mode; not changed.
        names: of the :class:`Branched` blocks; None takes all.

    Raises:
        InputError: a name that is no such block, or branches that are no one convolution.
        ParityError: a merged block, or a fused layer, gives something else.
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
    blocks: dict[nn.Module, nn.Module] = {}
    for name in names:
        block: Any = merged.get_submodule(name)
        blocks[block] = block.fuse()
    # By identity, since a block may be in several places.
    for parent in list(merged.modules()):
        for child, module in parent._modules.items():
            if module in blocks:
                parent._modules[child] = blocks[module]
    return blocks.get(merged, merged)


def _sum(branches: Sequence[Branch]) -> nn.Module:
    like = next((conv for conv, _ in branches if conv is not None), None)
    if like is None:
        raise InputError("a block without a convolution among its branches cannot become one")
    convs = []
    for conv, bn in branches:
        conv = identity_conv(like) if conv is None else conv
        # An Identity stands where fold_conv_bn was before.
        convs.append(conv if bn is None or isinstance(bn, nn.Identity) else fold_bn(conv, bn))
    return merge_convs(convs)
