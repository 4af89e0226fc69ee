"""Under "auto" a layer that can take no gate is a refusal; where it is named, an error."""

import re
import warnings

import pytest
import torch
from by_hooks import multiply_outputs
from layer_cases import randomise
from small_net import assert_unchanged, snapshot
from torch import nn
from torch.nn.utils import parametrizations, prune

from asr_core import fuse_asr, insert_asr, place
from asr_core.errors import TargetError


class Net(nn.Module):
    """Two residual blocks; the first has what the tests put there."""

    def __init__(self, conv=None):
        super().__init__()
        self.first = conv or nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = x + self.first(x).relu()
        return x + self.second(x)


def weight_normed(model):
    parametrizations.weight_norm(model.first)


def spectral_normed(model):
    parametrizations.spectral_norm(model.first)


def orthogonal(model):
    parametrizations.orthogonal(model.first)


def old_weight_normed(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model.first)


def old_spectral_normed(model):
    nn.utils.spectral_norm(model.first)


def pruned(model):
    prune.l1_unstructured(model.first, "weight", 0.5)


def tied(model):
    model.other = nn.Conv2d(4, 4, 3)
    model.other.weight = model.first.weight


def under_two_names(model):
    model.alias = model.first


def standardised(model):
    class Standardised(nn.Conv2d):
        def forward(self, x):
            scale = self.weight.flatten(1).norm(dim=1)[:, None, None, None]
            return self._conv_forward(x, self.weight / scale, self.bias)

    model.first = Standardised(4, 4, 3, padding=1)


CASES = [
    (weight_normed, r"parametrized already \(weight\)"),
    (spectral_normed, r"parametrized already \(weight\)"),
    (orthogonal, r"parametrized already \(weight\)"),
    (old_weight_normed, "'weight' is not a parameter of its own"),
    (old_spectral_normed, "'weight' is not a parameter of its own"),
    (pruned, "'weight' is not a parameter of its own"),
    (tied, r"'first\.weight' and 'other\.weight' are one shared parameter"),
    (under_two_names, "one layer has the names 'first' and 'alias'"),
    (standardised, "the output of Standardised"),
]


@pytest.mark.parametrize(("prepare", "reason"), CASES, ids=[case[0].__name__ for case in CASES])
def test_layers_that_auto_finds_but_that_can_take_no_gate(prepare, reason):
    torch.manual_seed(0)
    model = Net()
    prepare(model)
    before = snapshot(model)
    assert place(model).names == ["first", "second"]
    assert_unchanged(model, before)
    for named in ("first", ["second", "first"]):
        with pytest.raises(TargetError, match=f"no gate on 'first': .*{reason}"):
            insert_asr(model, targets=named)
        assert_unchanged(model, before)
    report = insert_asr(model)
    assert report.names == ["second"]
    (refusal,) = report.refusals
    assert refusal.name == "first"
    assert re.search(reason, refusal.reason)
    assert f"no gate on 'first': {refusal.reason}" in repr(report)


@pytest.mark.parametrize("prepare", [weight_normed, spectral_normed, old_weight_normed])
@pytest.mark.parametrize("training", [False, True])
def test_what_others_put_on_the_model_survives_fusing(prepare, training):
    def build():
        torch.manual_seed(0)
        model = Net().double()
        prepare(model)
        return model

    plain = build()
    randomise(plain, std=0.5)
    model = build()
    model.load_state_dict(plain.state_dict())
    report = insert_asr(model.train(training))
    nn.init.normal_(report.positions[0].gate.psi, std=2.0)
    x = torch.rand(2, 4, 5, 5, dtype=torch.float64)
    fused = fuse_asr(model).eval()
    fresh = build().eval()
    fresh.load_state_dict(fused.state_dict(), strict=True)
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert type(fused.first).__mro__[1:] == type(plain.first).__mro__[1:]
    stock = plain.eval()(x)
    wanted = multiply_outputs(plain.eval(), report.positions)(x)
    for after in (fused, fresh, model.eval()):
        assert (after(x) - wanted).abs().max() <= 1e-12
    assert (stock - wanted).abs().max() > 1e-3
    loss = fused.train()(x).square().sum()  # still trains through what the others put there
    loss.backward()
    assert all(p.grad is not None for p in fused.parameters())


def test_a_layer_called_twice_is_refused_by_auto():
    class Twice(Net):
        def forward(self, x):
            x = x + self.first(self.first(x).relu())
            return x + self.second(x)

    report = insert_asr(Twice())
    assert report.names == ["second"]
    assert [(r.name, "used 2 times" in r.reason) for r in report.refusals] == [("first", True)]


def test_where_every_layer_is_refused_all_reasons_are_told():
    model = Net()
    weight_normed(model)
    prune.l1_unstructured(model.second, "weight", 0.5)
    before = snapshot(model)
    with pytest.raises(TargetError) as caught:
        insert_asr(model)
    message = str(caught.value)
    assert "found no place in this Net: 'first': it is parametrized already" in message
    assert "'second': its 'weight' is not a parameter of its own" in message
    assert_unchanged(model, before)


def test_a_gate_that_is_there_already_is_an_error_under_auto_too():
    model = Net()
    insert_asr(model, targets="second")
    before = snapshot(model)
    with pytest.raises(TargetError, match="'second' already has ASR"):
        insert_asr(model)
    assert_unchanged(model, before)


class Summed(nn.Module):
    """Branches without a shortcut, before an activation."""

    def __init__(self):
        super().__init__()
        self.a = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 1)
        self.c = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        ab = nn.functional.dropout(self.a(x) + self.b(x), 0.1, self.training)
        x = (ab + self.c(x)).relu()
        return self.norm(x).relu()


def test_branches_of_a_sum_share_a_gate():
    torch.manual_seed(0)
    plain, model = Summed().double().eval(), Summed().double().eval()
    randomise(plain)
    model.load_state_dict(plain.state_dict())
    placement = place(model)
    assert placement.names == ["a", "b", "c", "norm"]
    assert placement.shared == [["a", "b", "c"]]
    report = insert_asr(model)
    first, second, third, norm = (p.gate for p in report.positions)
    for gate in (first, norm):
        nn.init.normal_(gate.psi, std=2.0)
    assert torch.equal(first.scale(), second.scale())
    assert torch.equal(first.scale(), third.scale())
    assert len({id(p) for p in report.parameters()}) == len(list(first.parameters())) * 2
    x = torch.rand(2, 4, 5, 5, dtype=torch.float64)
    v, w = first.scale()[:, None, None], norm.scale()[:, None, None]
    total = plain.a(x) + plain.b(x) + plain.c(x)
    wanted = (w * plain.norm((v * total).relu())).relu()
    fused = fuse_asr(model, example=x)
    assert (model(x) - wanted).abs().max() <= 1e-12
    assert (fused(x) - wanted).abs().max() <= 1e-12
    assert (plain(x) - wanted).abs().max() > 1e-3


def test_where_one_branch_can_take_no_gate_none_of_the_sum_does():
    model = Summed()
    parametrizations.weight_norm(model.b)
    report = insert_asr(model)
    assert report.names == ["norm"]
    reasons = {r.name: r.reason for r in report.refusals}
    assert "parametrized already" in reasons["b"]
    assert (
        reasons["a"]
        == reasons["c"]
        == ("it would have to share the gate of 'b', which can take none")
    )


def test_own_groups_take_precedence_over_automatic_ones():
    report = insert_asr(Summed(), shared=[["a", "b"]])
    gates = {p.name: p.gate for p in report.positions}
    assert torch.equal(gates["a"].scale(), gates["b"].scale())
    assert not torch.equal(gates["a"].scale(), gates["c"].scale())
