"""The accuracy of a classifier, sample by sample, over all processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from asr_core.data.order import test_batches
from asr_core.data.split import Split
from asr_core.errors import InputError
from asr_core.verify.parity import evaluating

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of a classifier on a split, in the split's order.

    Attributes:
        top1: share of samples whose class has the greatest logit, in [0, 1]. Logits with NaN or
            +inf predict no class.
        top5: share whose class is among the greatest five logits.
        loss: mean cross-entropy, without label smoothing.
        n: number of samples.
        correct: top-1 of each sample, bool (n,), on the CPU.
        predictions: class of each sample, -1 for none, int64 (n,), on the CPU.
        seconds: wall-clock time.
    """

    top1: float
    top5: float
    loss: float
    n: int
    correct: Tensor
    predictions: Tensor
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Over all processes."""
        return self.n / self.seconds

    def figures(self) -> dict[str, float]:
        """Top-1, top-5 and loss, by name."""
        return {"top1": self.top1, "top5": self.top5, "loss": self.loss}


def top(logits: Tensor) -> Tensor:
    """The classes of the greatest five logits, the greatest first: (N, K) -> (N, min(5, K)).

    -1 if a logit is NaN or +inf, when the order of the others means nothing.
    """
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return best.masked_fill(~(logits < torch.inf).all(1, keepdim=True), -1)


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Refuse labels (N,) that the model, with ``logits`` (N, K), does not know.

    Raises:
        InputError: naming the label.
    """
    if labels.max() >= logits.shape[1]:
        raise InputError(
            f"label {labels.max().item()} is none of the model's {logits.shape[1]} classes"
        )


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    accelerator: Accelerator | None = None,
) -> Evaluation:
    """Run ``model`` over ``split`` in eval mode and full precision; its modes are restored.

    The processes of ``accelerator`` share the samples, and each gets the whole result.

    Args:
        model: images (N, 3, H, W) in [0, 1] -> logits (N, K), not wrapped.
        split: the samples.
        batch_size: images at a time, over all processes.
        accelerator: for a run in several processes, each of which must call this.

    Raises:
        InputError: no samples, a batch size below 1, or fewer classes than the labels name.
    """
    n = len(split)
    if n < 1:
        raise InputError("no samples to evaluate on")
    rank, world = (
        (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    seen = torch.zeros(n, device=device)
    losses, among = seen.clone(), seen.clone()
    predictions = torch.zeros(n, dtype=torch.int64, device=device)
    start = time.perf_counter()
    with evaluating(model):
        for images, labels, indices in test_batches(
            split, batch_size=batch_size, rank=rank, world=world
        ):
            images, labels, indices = (t.to(device) for t in (images, labels, indices))
            logits = model(images).float()
            check_labels(labels, logits)
            best = top(logits)
            seen[indices] += 1
            losses[indices] = nn.functional.cross_entropy(logits, labels, reduction="none")
            predictions[indices] = best[:, 0]
            among[indices] = (best == labels[:, None]).any(dim=1).float()
    if accelerator is not None:
        # Each sample is zero except in one process.
        seen, losses, among, predictions = (
            accelerator.reduce(t, "sum") for t in (seen, losses, among, predictions)
        )
    seconds = time.perf_counter() - start
    if not bool((seen == 1).all()):
        raise RuntimeError("samples were left out or counted twice: test_batches is at fault")
    predictions = predictions.cpu()
    correct = predictions == split.labels.cpu()
    return Evaluation(
        top1=correct.double().mean().item(),
        top5=among.double().mean().item(),
        loss=losses.cpu().double().mean().item(),
        n=n,
        correct=correct,
        predictions=predictions,
        seconds=seconds,
    )
