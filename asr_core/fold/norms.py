"""The further step: BatchNorms on running statistics, folded into the layers before them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from asr_core.asr.layers import kind_of
from asr_core.asr.parametrization import gated_layers
from asr_core.asr.report import Refusal, listed
from asr_core.errors import InputError
from asr_core.fold.layer import BEFORE, fold_pairs
from asr_core.fold.pairs import changed_by, find_pairs
from asr_core.modules.copies import copy_model
from asr_core.verify.divergence import require_agreement

TOLERANCE = 1e-4
"""Relative, in float32: each folded layer rounds anew, and deep networks amplify that."""


def fold_conv_bn(
    model: nn.Module, pairs: Iterable[tuple[str, str]] | None = None, *, example: Any = None
) -> nn.Module:
    """A copy of ``model`` in eval mode, with BatchNorms folded and an Identity in their place.

    The activation at the end of a norm (timm's BatchNormAct2d) stays. The graph of the forward must
    show that a pair may be folded (:func:`asr_core.fold.pairs.find_pairs`).

    Args:
        model: a plain model; not changed.
        pairs: dotted names (conv, bn), where the bn's only input is the conv's output; None takes
            neighbours in each ``nn.Sequential`` that may be folded.
        example: input (or tuple of inputs), run if classes do not show the channel axis (a linear
            layer before a BatchNorm1d). If the forward cannot be traced, named pairs are folded
            and the outputs on ``example`` compared.

    Warns:
        UserWarning: such neighbours were left in place; the text says what and why.

    Raises:
        InputError: no pairs for a model with gates, an unknown name, a named pair that may not be
            folded or needs an example, or the forward cannot be traced.
        ParityError: that comparison fails.
    """
    if pairs is None and (gated := next(gated_layers(model), None)):
        raise InputError(f"{gated[0]!r} has a gate: fuse_asr the model first")
    named = None if pairs is None else list(dict.fromkeys(pairs))
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in (name for pair in named or () for name in pair):
        if name not in modules:
            raise InputError(f"no module {name!r} in the model to fold")
    try:
        search = find_pairs(model, example=example)
    except InputError:
        if named is None or example is None:
            raise
        folded = fold_pairs(model, named)
        require_same(model, folded, example, skip=changed_by(named))
        return folded
    if named is None:
        named = [pair for pair in search.pairs if pair[0] == _layer_before(modules, pair[1])]
        warn_of([r for r in search.left if _layer_before(modules, r.name)], folded=len(named))
    for conv, bn in named:
        if (conv, bn) not in search.pairs:
            raise InputError(f"cannot fold {bn!r} into {conv!r}: {search.why_not(bn)}")
    return fold_pairs(model, named)


def require_same(model: nn.Module, folded: nn.Module, example: Any, *, skip: set[str]) -> None:
    """Compare copies of the two on ``example``, since a forward may write.

    Raises:
        ParityError: they differ; naming the layer where the outputs first do.
    """
    models = copy_model(model), copy_model(folded)
    require_agreement(*models, [example], tolerance=TOLERANCE, skip=skip)


def warn_of(left: Sequence[Refusal], *, folded: int) -> None:
    """Warn if something was left in place, and say why."""
    if left:
        warnings.warn(
            f"folded {folded} of {folded + len(left)} blocks and batch norms; "
            f"left in place: {listed(left)}",
            stacklevel=3,
        )


def _layer_before(modules: dict[str, nn.Module], bn: str) -> str:
    """The convolution or linear layer before the norm ``bn`` in a Sequential; else ""."""
    parent = bn.rpartition(".")[0]
    children = modules[parent]._modules if isinstance(modules[parent], nn.Sequential) else {}
    for before, child in itertools.pairwise(f"{parent}.{name}".lstrip(".") for name in children):
        if child == bn and kind_of(modules[before]) in BEFORE:
            return before
    return ""
