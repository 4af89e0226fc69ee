"""Freezing live attention: each channel gate becomes its mean over images, and is folded away.

The stripe observation (the paper): the gates of a trained network are nearly the same for every
image. If so, replacing them by their mean changes little, and gives the plain backbone.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable

from torch import Tensor, nn

from asr_core.asr.parametrization import gated_layers
from asr_core.asr.report import listed
from asr_core.errors import InputError
from asr_core.freeze.constant import put_constant
from asr_core.freeze.fold import fold_constants
from asr_core.freeze.gates import find_gates
from asr_core.freeze.report import FreezeReport, FrozenGate
from asr_core.freeze.statistics import measure_gates
from asr_core.modules.wrappers import unwrap
from asr_core.placement.reach import Reach
from asr_core.verify.divergence import require_agreement

_EXAMPLES = 4
"""Images on which the folded model is compared with the frozen one."""


def freeze_attention(model: nn.Module, batches: Iterable[Tensor]) -> FreezeReport:
    """Replace each live channel gate by its mean over ``batches``, and fold the constants away.

    Gates are those of :func:`asr_core.freeze.find_gates`: live attention of ours, torchvision's
    and timm's. Their constants go into the output channels of the layer before or the input
    channels of the layer after, if that is the same function; else a constant stays, and the report
    says why. Replacing changes the function: compare the accuracy of ``model`` and of
    ``report.plain``. Folding does not, which is checked.

    Args:
        model: with live attention and without ASR; not changed. Wrappers are removed.
        batches: inputs (N, ...) on the model's device, at least two images in all: training data,
            since the means become parameters.

    Returns:
        The report, with the frozen and the folded model, which have the modes of ``model``. A
        folded model of ours has the plain backbone's state dict.

    Raises:
        InputError: no constant can replace a gate, the model has ASR, there are fewer than two
            images, or gates or folded tensors are not finite.
        ParityError: the folded model's outputs differ from the frozen one's.
    """
    model = unwrap(model)
    if gated := next(gated_layers(model), None):
        raise InputError(f"{gated[0]!r} has ASR: fuse_asr the model first, then freeze the rest")
    sites, refusals = find_gates(model)
    batches = iter(batches)
    first = list(itertools.islice(batches, 1))
    inputs = itertools.chain(first, batches)
    statistics, called = measure_gates(model, sites, inputs) if sites else ({}, [])
    refusals += called
    sites = [site for site in sites if site.name in statistics]
    if not sites:
        why = f": {listed(refusals)}" if refusals else ""
        raise InputError(
            f"this {type(model).__name__} has no live channel gate that a constant can "
            f"replace{why}. Known are the attention modules of asr_core, torchvision's "
            "SqueezeExcitation, and timm's SE and ECA modules"
        )
    frozen = copy.deepcopy(model)
    for site in sites:
        put_constant(frozen, site, statistics[site.name].mean)
    plain = copy.deepcopy(frozen)
    folds = fold_constants(plain, sites)
    gates = tuple(
        FrozenGate(site.name, site.kind, statistics[site.name], *_where(folds[site.name]))
        for site in sites
    )
    scaled = {site.name for site in sites}
    for fold in folds.values():
        if isinstance(fold, Reach):
            scaled.update(fold.layers, fold.passed)
    example = first[0][:_EXAMPLES]
    parity = require_agreement(frozen, plain, [example], skip=scaled)
    images = next(iter(statistics.values())).images
    return FreezeReport(gates, tuple(refusals), frozen, plain, parity, images)


def _where(fold: Reach | str) -> tuple[tuple[str, ...], str, str]:
    return ((), "", fold) if isinstance(fold, str) else (tuple(fold.layers), fold.side, "")
