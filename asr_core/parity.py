"""Do two models give the same outputs?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.errors import ParityError


@dataclass(frozen=True)
class ParityReport:
    """How far two models' outputs on one example are apart, both in eval mode.

    Attributes:
        max_abs: greatest absolute difference.
        max_rel: the same over the greatest absolute output of the first model.
        argmax_agreement: share of the samples (or pixels) whose greatest output along axis 1, or
            along the only axis, is the same.
        tolerance: the greatest ``max_rel`` that counts as equal.
    """

    max_abs: float
    max_rel: float
    argmax_agreement: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the outputs are finite and within the tolerance."""
        return self.max_rel <= self.tolerance

    @property
    def message(self) -> str:
        """The figures in a sentence."""
        verdict = "outputs agree" if self.ok else "outputs differ"
        hint = "" if self.ok else ", so a forgotten .eval() is not the cause"
        return (
            f"{verdict}: max abs {self.max_abs:.3g}, relative {self.max_rel:.3g} (tolerance "
            f"{self.tolerance:g}), argmax agreement {self.argmax_agreement:.2%}; "
            f"both were run in eval mode{hint}"
        )

    def require(self) -> ParityReport:
        """Itself.

        Raises:
            ParityError: the outputs do not agree.
        """
        if not self.ok:
            raise ParityError(self.message)
        return self


def check_parity(
    a: nn.Module, b: nn.Module, example: Any, *, tolerance: float = 1e-5
) -> ParityReport:
    """Run two models on ``example`` in eval mode, without gradient, and compare the outputs.

    The modes of all their modules are restored, also after an exception.

    Args:
        a: the model that sets the scale for relative differences.
        b: the other.
        example: a tensor, or a tuple of the positional arguments.
        tolerance: greatest difference relative to the greatest absolute output.

    Raises:
        ParityError: the outputs have different structures or shapes.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.no_grad(), evaluating(a), evaluating(b):
        first, second = list(tensors_of(a(*inputs))), list(tensors_of(b(*inputs)))
    shapes = [[tuple(t.shape) for t in outputs] for outputs in (first, second)]
    if shapes[0] != shapes[1]:
        raise ParityError(f"outputs of different shapes: {shapes[0]} and {shapes[1]}")
    if not first:
        raise ParityError("the models' outputs hold no tensor to compare")
    max_abs = scale = 0.0
    agreeing = total = 0
    for x, y in zip(first, second, strict=True):
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        if x.numel() == 0:
            continue
        # torch.maximum would do for NaN too, but Python's max drops it.
        gap, size = (x - y).abs().max().item(), x.abs().max().item()
        max_abs, scale = (_max(max_abs, gap), _max(scale, size))
        if x.ndim:
            same = x.argmax(min(1, x.ndim - 1)) == y.argmax(min(1, x.ndim - 1))
            agreeing += int(same.sum())
            total += same.numel()
    max_rel = max_abs / scale if scale else (0.0 if max_abs == 0 else float("inf"))
    return ParityReport(max_abs, max_rel, agreeing / total if total else 1.0, tolerance)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; each module's own mode again after."""
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
    """The tensors in ``output``, in order: itself, or in mappings, lists and tuples."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_of(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from tensors_of(value)
