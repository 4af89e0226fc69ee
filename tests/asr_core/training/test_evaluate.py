"""asr_core.training.evaluate: against counts made by hand and by scikit-style loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from asr_core.data import MemorySplit
from asr_core.errors import InputError
from asr_core.training import evaluate


class Table(nn.Module):
    """Logits by image: an image is known by its first pixel."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.modes: list[bool] = []
        self.grown: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        logits = self.logits[(images[:, 0, 0, 0] * 255).round().long()]
        self.grown.append(logits.requires_grad)
        return logits


def numbered(labels: Tensor) -> MemorySplit:
    numbers = torch.arange(len(labels), dtype=torch.uint8)
    return MemorySplit(numbers[:, None, None, None].expand(-1, 3, 2, 2).contiguous(), labels)


@given(
    n=st.integers(1, 60),
    classes=st.integers(1, 9),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_figures_are_those_counted_one_by_one(
    n: int, classes: int, batch_size: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=random) * 3
    labels = torch.randint(classes, (n,), generator=random)
    found = evaluate(Table(logits), numbered(labels), batch_size=batch_size)
    ranks, losses = [], []
    for row, label in zip(logits.double().numpy(), labels.tolist(), strict=True):
        ranks.append(int((row > row[label]).sum()))
        losses.append(math.log(np.exp(row).sum()) - row[label])
    assert found.n == n
    assert found.top1 == pytest.approx(np.mean([rank == 0 for rank in ranks]))
    assert found.top5 == pytest.approx(np.mean([rank < 5 for rank in ranks]))
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5, abs=1e-6)
    assert found.correct.tolist() == [rank == 0 for rank in ranks]
    assert torch.equal(found.predictions, logits.argmax(1))
    assert (found.correct.dtype, found.predictions.dtype) == (torch.bool, torch.int64)
    assert found.images_per_second > 0
    assert found.figures() == {"top1": found.top1, "top5": found.top5, "loss": found.loss}


def test_it_is_run_in_eval_mode_without_gradient_and_put_back() -> None:
    model = nn.Sequential(Table(torch.randn(3, 4)), nn.Dropout(0.5), nn.Identity().eval())
    model.train()
    model[2].eval()
    before = [module.training for module in model.modules()]
    evaluate(model, numbered(torch.tensor([0, 1, 2])), batch_size=2)
    assert model[0].modes == [False, False]
    assert model[0].grown == [False, False]
    assert [module.training for module in model.modules()] == before == [True, True, True, False]


def test_a_label_without_a_logit_is_refused() -> None:
    with pytest.raises(InputError, match="label 4 is none of the model's 4 classes"):
        evaluate(Table(torch.randn(3, 4)), numbered(torch.tensor([0, 4, 1])), batch_size=3)


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="batch size is 0"):
        evaluate(Table(torch.randn(1, 2)), numbered(torch.tensor([0])), batch_size=0)
