"""Folding all that can be folded in a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from asr_core.asr.fuse import fuse_asr
from asr_core.asr.report import Refusal
from asr_core.fold.branches import find_blocks, merge_branches
from asr_core.fold.norms import require_same, warn_of
from asr_core.fold.pairs import changed_by, find_pairs


@dataclass(frozen=True, repr=False)
class FoldReport:
    """The result of :func:`asr_core.fold_report`; its repr is plain text.

    Attributes:
        model: the folded model.
        merged: names of the blocks of parallel branches merged into one convolution.
        pairs: names (conv, bn) of the batch norms folded into the layers before them.
        left: the blocks and batch norms that stay, with the reason.
    """

    model: nn.Module
    merged: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()
    left: Sequence[Refusal] = ()

    @property
    def changed(self) -> set[str]:
        """Names of the modules whose outputs folding changed."""
        return changed_by(self.pairs)

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"{len(self.merged)} blocks merged",
                f"{len(self.pairs)} batch norms folded",
                *(f"{refusal.name!r} stays: {refusal.reason}" for refusal in self.left),
            ]
        )


def fold_model(model: nn.Module, *, example: Any = None) -> nn.Module:
    """The model for inference: gates fused, branches merged, batch norms folded.

    A warning says what may not be folded and why (:func:`asr_core.fold_report` returns it as data).
    A model that was already fused or merged gives the same.

    Args:
        model: with gates or plain, in any mode; not changed.
        example: input (or tuple of inputs) on which the folded model is compared with ``model``,
            both in eval mode; None skips that. It also shows the channel axis if classes do not: of
            a linear layer or Conv1d before a BatchNorm1d, of any before a SyncBatchNorm. Without
            it, those stay.

    Returns:
        A copy in eval mode.

    Raises:
        InputError: the forward cannot be traced, or branches do not add up to one convolution.
        ParityError: an inner check, or that on ``example``, fails; naming the layer.

    Warns:
        UserWarning: something was left in place; the text says what and why.
    """
    report = fold_report(model, example=example)
    warn_of(report.left, folded=len(report.merged) + len(report.pairs))
    return report.model


def fold_report(model: nn.Module, *, example: Any = None) -> FoldReport:
    """As :func:`asr_core.fold_model`, but returns what was folded, and what was not and why.

    Applies :func:`asr_core.fuse_asr`, :func:`asr_core.merge_branches` and
    :func:`asr_core.fold_conv_bn` to all that may be folded.
    """
    plain = fuse_asr(model)
    blocks, kept = find_blocks(plain)
    merged = merge_branches(plain, blocks)
    search = find_pairs(merged, example=example)
    report = FoldReport(search.model, blocks, search.pairs, (*kept, *search.left))
    if example is not None:
        require_same(model, report.model, example, skip=report.changed)
    return report
