"""All that can be folded in a model, in one call."""

from __future__ import annotations

from typing import Any

from torch import nn

from asr_core.divergence import require_agreement
from asr_core.fold.branches import merge_branches
from asr_core.fold.norms import fold_conv_bn
from asr_core.fold.pairs import conv_bn_pairs

TOLERANCE = 1e-4
"""Relative, in float32: a fold rounds anew in each layer, and deep networks carry it on."""


def fold_model(model: nn.Module, *, example: Any = None) -> nn.Module:
    """The model for inference: gates fused, branches merged, batch norms folded.

    In this order: :func:`asr_core.fuse_asr`, :func:`asr_core.merge_branches`, and
    :func:`asr_core.fold_conv_bn` on the pairs that ``torch.fx`` finds. A model that was fused, or
    merged, before gives the same.

    Args:
        model: with gates or plain, in any mode; not changed.
        example: input (or tuple of inputs) on which the folded model is compared with ``model``,
            both in eval mode; None leaves that out.

    Returns:
        A copy in eval mode.

    Raises:
        InputError: the forward cannot be traced, or branches that are no one convolution.
        ParityError: a check on the way, or that on ``example``, fails; the layer is named.
    """
    merged = merge_branches(model)
    pairs = conv_bn_pairs(merged)
    folded = fold_conv_bn(merged, pairs)
    if example is not None:
        convs = [conv for conv, _ in pairs]
        require_agreement(model, folded, [example], tolerance=TOLERANCE, skip=convs)
    return folded
