"""Whether two models give the same outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.errors import ParityError
from asr_core.verify.watch import outputs_of, paired, shared_names


@dataclass(frozen=True)
class ParityReport:
    """How far two models' outputs on one example are apart, both in eval mode.

    Attributes:
        max_abs: greatest absolute difference.
        max_rel: the same over the greatest absolute output of the first model.
        argmax_agreement: share of the samples (or pixels) with the same argmax along axis 1, or
            along the only axis.
        tolerance: the greatest ``max_rel`` that counts as equal.
        inner: number of compared outputs of inner modules; 0 if the models' outputs depend on the
            input, so that no others need be compared.
    """

    max_abs: float
    max_rel: float
    argmax_agreement: float
    tolerance: float
    inner: int = 0

    @property
    def ok(self) -> bool:
        """Whether the outputs are finite and within the tolerance."""
        return self.max_rel <= self.tolerance

    @property
    def message(self) -> str:
        """The figures in one sentence."""
        verdict = "outputs agree" if self.ok else "outputs differ"
        hint = "" if self.ok else ", so a forgotten .eval() is not the cause"
        inside = f" ({self.inner} outputs inside included)" if self.inner else ""
        return (
            f"{verdict}{inside}: max abs {self.max_abs:.3g}, relative {self.max_rel:.3g} "
            f"(tolerance {self.tolerance:g}), argmax agreement {self.argmax_agreement:.2%}; "
            f"both were run in eval mode{hint}"
        )

    def require(self) -> ParityReport:
        """Return the report.

        Raises:
            ParityError: the outputs do not agree.
        """
        if not self.ok:
            raise ParityError(self.message)
        return self


def check_parity(
    a: nn.Module,
    b: nn.Module,
    example: Any,
    *,
    tolerance: float = 1e-5,
    skip: Collection[str] = (),
) -> ParityReport:
    """Run two models on ``example`` in eval mode, without gradient, and compare the outputs.

    Constant outputs, or equal ones for all samples (a head that starts at 0), agree whatever the
    layers before do. Then the modules inside are compared as well, by name. The modes of all
    modules are restored, also after an exception.

    Args:
        a: the model that sets the scale for relative differences.
        b: the other.
        example: a tensor, or a tuple of the positional arguments.
        tolerance: greatest difference relative to the greatest absolute output.
        skip: names of modules whose outputs are meant to differ (folded convolutions).

    Raises:
        ParityError: the outputs have different structures or shapes, or all outputs, inner ones
            included, are constant, so that agreement would show nothing.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.no_grad(), evaluating(a), evaluating(b):
        first, second = list(tensors_of(a(*inputs))), list(tensors_of(b(*inputs)))
        shapes = [[tuple(t.shape) for t in outputs] for outputs in (first, second)]
        if shapes[0] != shapes[1]:
            raise ParityError(f"outputs of different shapes: {shapes[0]} and {shapes[1]}")
        if not first:
            raise ParityError("the models' outputs hold no tensor to compare")
        figures = _Figures()
        for x, y in zip(first, second, strict=True):
            figures.add(x, y)
        report = figures.report(tolerance)
        varying = any(map(_varies, first))
        if not report.ok or (varying and any(map(_depends_on_sample, first))):
            return report
        inner = _compare_inside(a, b, inputs, skip)
    if inner.telling == 0 and not varying:
        raise ParityError(
            "the outputs are one value everywhere, which would agree whatever the layers do; give "
            "an example or a model (a head that is not all 0) whose outputs vary"
        )
    return ParityReport(
        _max(report.max_abs, inner.max_abs),
        _max(report.max_rel, inner.worst_rel),
        report.argmax_agreement,
        tolerance,
        inner.count,
    )


class _Figures:
    """Differences of pairs of tensors, taken together."""

    def __init__(self) -> None:
        self.count = self.telling = 0
        self.max_abs = self.worst_rel = self._scale = 0.0
        self._agreeing = self._total = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add a pair of the same shape."""
        self.count += 1
        self.telling += _varies(x)
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        if x.numel() == 0:
            return
        # By _max, since Python's max drops NaN.
        gap, size = (x - y).abs().max().item(), x.abs().max().item()
        self.max_abs, self._scale = _max(self.max_abs, gap), _max(self._scale, size)
        self.worst_rel = _max(self.worst_rel, _ratio(gap, size))
        if x.ndim:
            same = x.argmax(min(1, x.ndim - 1)) == y.argmax(min(1, x.ndim - 1))
            self._agreeing += int(same.sum())
            self._total += same.numel()

    def report(self, tolerance: float) -> ParityReport:
        """The figures, relative to the greatest value of all."""
        agreement = self._agreeing / self._total if self._total else 1.0
        relative = _ratio(self.max_abs, self._scale)
        return ParityReport(self.max_abs, relative, agreement, tolerance)


def _compare_inside(
    a: nn.Module, b: nn.Module, inputs: tuple[Any, ...], skip: Collection[str]
) -> _Figures:
    names = shared_names(a, b, skip) - {""}
    figures = _Figures()
    for _, first, second in paired(outputs_of(a, inputs, names), outputs_of(b, inputs, names)):
        if first is not None and first.shape == second.shape:
            figures.add(first, second)
    return figures


def _varies(x: Tensor) -> bool:
    """Whether ``x`` is not constant; a single value varies unless it is 0."""
    if x.numel() < 2:
        return bool((x != 0).any())
    return bool((x != x.flatten()[0]).any())


def _depends_on_sample(x: Tensor) -> bool:
    return x.ndim == 0 or len(x) < 2 or bool((x != x[:1]).any())


def _ratio(gap: float, size: float) -> float:
    return gap / size if size else (0.0 if gap == 0 else float("inf"))


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in eval mode, and restore each module's mode after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _max(a: float, b: float) -> float:
    return b if b != b or b > a else a


def tensors_of(output: Any) -> Iterator[Tensor]:
    """The tensors in ``output``, in order, inside mappings, lists and tuples too."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_of(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from tensors_of(value)
