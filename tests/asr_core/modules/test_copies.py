import copy

import pytest
import torch
from torch import nn

from asr_core.modules.copies import copy_model, copy_structure


class Keeps(nn.Module):
    """Keeps what its forward gave, and a table of what it saw."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.register_buffer("count", torch.zeros(()))
        self.seen = {}

    def forward(self, x):
        self.last = self.linear(x)
        self.seen[len(self.seen)] = x
        return self.last


def kept():
    model = Keeps()
    model(torch.rand(1, 2))
    return model


def test_results_that_a_module_keeps_are_copied_without_their_graph():
    model = kept()
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(model)
    copied = copy_model(model)
    assert torch.equal(copied.last, model.last)
    assert copied.last.grad_fn is None
    assert model.last.grad_fn is not None
    for mine, other in zip(copied.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, other)
        assert mine is not other
    assert copied.linear.weight.data_ptr() != model.linear.weight.data_ptr()


def test_a_structure_shares_tensors_but_nothing_else():
    model = kept()
    copied = copy_structure(model)
    assert all(a is b for a, b in zip(copied.parameters(), model.parameters(), strict=True))
    assert copied.count is model.count
    assert copied.last is model.last
    copied.eval()
    copied.count = torch.ones(())
    copied.seen["more"] = 1
    copied.linear.weight = nn.Parameter(torch.zeros(3, 2))
    assert model.training
    assert model.count == 0
    assert list(model.seen) == [0]
    assert model.linear.weight.any()


def test_results_kept_in_lists_are_copied_without_their_graph():
    model = kept()
    model.history = {"outputs": [(model.last * 2, 1)]}
    model.history["itself"] = model.history
    copied = copy_model(model)
    (output, _) = copied.history["outputs"][0]
    assert torch.equal(output, 2 * model.last)
    assert output.grad_fn is None
    assert copy_structure(model).history["outputs"][0][0] is model.history["outputs"][0][0]
