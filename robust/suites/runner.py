"""Running a suite: one pass over the split for each condition, and the clean one once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.data.split import Split
from asr_core.training.evaluate import evaluate, top
from asr_core.verify.parity import evaluating
from robust.suites.condition import CLEAN, Condition
from robust.suites.results import Outcome, SuiteResult
from robust.suites.suite import Answers, Samples, Suite


def run_suite(
    model: nn.Module,
    split: Split,
    suite: Suite,
    *,
    batch_size: int,
    meta: Mapping[str, Any] | None = None,
    on_batch: Callable[[Condition, int], None] | None = None,
) -> SuiteResult:
    """Test ``model`` under every condition of ``suite``, in eval mode and full precision.

    C conditions, repeats included, cost C + 1 passes over the split: the clean pass is made once,
    by the same code as ``robust evaluate``. Images are streamed. The model's modes are restored,
    also after an exception.

    Args:
        model: images (N, 3, H, W) in [0, 1] -> logits (N, K), on the split's device.
        split: the samples.
        suite: from :data:`robust.suites.SUITES`, or your own.
        batch_size: images at a time.
        meta: what the result says about the model, JSON-able.
        on_batch: called with the condition and the number of images after each batch; after the
            clean pass with all of them.

    Raises:
        InputError: no samples, a batch size below 1, fewer classes than the labels name, or the
            suite refuses the model.
        RuntimeError: the suite's batches leave samples out.
    """
    clean = evaluate(model, split, batch_size=batch_size)
    outcomes = [
        Outcome(CLEAN, clean.top1, clean.loss, clean.correct, clean.seconds, top5=clean.top5)
    ]
    if on_batch:
        on_batch(CLEAN, clean.n)
    with evaluating(model), torch.no_grad():
        for condition in suite.conditions():
            outcomes.append(_outcome(model, split, suite, condition, batch_size, on_batch))
    return SuiteResult(suite.name, dict(meta or {}), suite.settings(), tuple(outcomes))


def _outcome(
    model: nn.Module,
    split: Split,
    suite: Suite,
    condition: Condition,
    batch_size: int,
    on_batch: Callable[[Condition, int], None] | None,
) -> Outcome:
    n, start = len(split), time.perf_counter()
    correct = torch.zeros(n, dtype=torch.bool)
    losses, seen = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    batches = suite.batches(condition, n, batch_size)
    unproved: Tensor | None = None
    with suite.context(condition, model):
        for indices, images in zip(batches, split.test_stream(batches), strict=True):
            labels = split.labels[indices].to(images.device)
            answers = suite.apply(condition, model, Samples(images, indices, labels))
            logits = answers.logits if isinstance(answers, Answers) else answers
            logits = logits.detach().float()
            right = top(logits)[:, 0] == labels  # by the same rule as the clean pass
            loss = nn.functional.cross_entropy(logits, labels, reduction="none")
            if isinstance(answers, Answers):
                unproved = torch.zeros_like(correct) if unproved is None else unproved
                unproved[indices] = (right & answers.no_gradient).cpu()
            correct[indices], losses[indices], seen[indices] = right.cpu(), loss.cpu(), True
            if on_batch:
                on_batch(condition, len(indices))
    if not bool(seen.all()):
        raise RuntimeError(f"the batches of suite {suite.name!r} leave samples out")
    return Outcome(
        condition,
        correct.double().mean().item(),
        losses.double().mean().item(),
        correct,
        time.perf_counter() - start,
        no_gradient=None if unproved is None else int(unproved.sum()),
    )
