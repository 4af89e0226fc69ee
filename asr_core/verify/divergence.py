"""The first layer where two models that should agree differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.errors import ParityError
from asr_core.verify.parity import ParityReport, check_parity, evaluating
from asr_core.verify.watch import Output, outputs_of, paired, shared_names


def require_agreement(
    a: nn.Module,
    b: nn.Module,
    examples: Iterable[Any],
    *,
    tolerance: float = 1e-5,
    skip: Collection[str] = (),
) -> ParityReport:
    """Check that two models agree on all ``examples``; returns the worst of each figure.

    The other arguments are those of :func:`asr_core.check_parity`.

    Raises:
        ParityError: they do not; naming the layer where the outputs first differ.
    """
    reports = []
    for example in examples:
        report = check_parity(a, b, example, tolerance=tolerance, skip=skip)
        if not report.ok:
            where = first_divergence(a, b, example, tolerance=tolerance, skip=skip)
            place = repr(where) if where else "no single layer, only in the model as a whole"
            raise ParityError(f"{report.message}; outputs first part at {place}")
        reports.append(report)
    return worst(reports)


def worst(reports: Sequence[ParityReport]) -> ParityReport:
    """The worst of each figure, with the tolerance of the first."""
    return ParityReport(
        max(report.max_abs for report in reports),
        max(report.max_rel for report in reports),
        min(report.argmax_agreement for report in reports),
        reports[0].tolerance,
        max(report.inner for report in reports),
    )


def first_divergence(
    a: nn.Module,
    b: nn.Module,
    example: Any,
    *,
    tolerance: float = 1e-5,
    skip: Collection[str] = (),
) -> str | None:
    """Run both on ``example`` in eval mode; returns the first module whose outputs differ.

    Modules are compared by name, call by call, inner ones first. Modules that only one model has
    are left out; for a layer whose forward is not called (attention's ``out_proj``), the module
    around it is named.

    Args:
        a: the model that sets the scale of each output.
        b: the other.
        example: a tensor, or a tuple of the positional arguments.
        tolerance: greatest difference relative to the greatest absolute value of a's output.
        skip: names of modules whose outputs are meant to differ (folded convolutions).

    Returns:
        The dotted name, "" for the model as a whole, or None if no output differs.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    names = shared_names(a, b, skip)
    with torch.no_grad(), evaluating(a), evaluating(b):
        outputs = [outputs_of(model, inputs, names) for model in (a, b)]
    return first_difference(*outputs, tolerance=tolerance)


def first_difference(
    expected: Iterable[Output], given: Iterable[Output], *, tolerance: float
) -> str | None:
    """The first module in ``given`` with another output, or more of them, than ``expected``."""
    for name, first, second in paired(expected, given):
        if first is None or differ(first, second, tolerance):
            return name
    return None


def differ(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether ``b`` differs from ``a`` by more than ``tolerance`` times the greatest |a|."""
    if a.shape != b.shape:
        return True
    a, b = a.cpu().double(), b.cpu().double()
    gap = (a - b).abs()
    # Negated, so that NaN counts as a difference.
    return a.numel() > 0 and not bool(gap.max() <= tolerance * a.abs().max())
