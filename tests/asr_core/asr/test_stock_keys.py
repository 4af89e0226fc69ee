import pytest
import torch
from layer_cases import randomise
from small_net import assert_unchanged, images, net, snapshot
from torch import nn

from asr_core import fuse_asr, insert_asr, load_stock_state_dict
from asr_core.errors import CheckpointError

TARGETS = ["0", "1", "3", "4", "6"]


def trained():
    plain = net()
    randomise(plain, std=0.3)
    return plain.eval()


def gated():
    model = net()
    insert_asr(model, targets=TARGETS, create_affine=True)
    return model.eval()


@pytest.mark.filterwarnings("ignore:no gate has changed")
def test_stock_weights_go_where_the_gated_layers_keep_their_originals():
    plain, model = trained(), gated()
    gates = {k: v.clone() for k, v in model.state_dict().items() if ".asr." in k}
    assert gates
    load_stock_state_dict(model, plain.state_dict())
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in gates.items())
    expected = trained()
    insert_asr(
        expected, targets=TARGETS, create_affine=True
    )  # loading first and inserting then is the same
    expected.load_state_dict({**expected.state_dict(), **gates})
    assert torch.equal(model(images()), expected(images()))


def test_a_plain_model_is_loaded_too():
    plain, other = trained(), net().eval()
    load_stock_state_dict(other, plain.state_dict())
    assert torch.equal(plain(images()), other(images()))


def test_created_parameters_may_come_or_not():
    model = gated()
    state = trained().state_dict()
    load_stock_state_dict(model, state)
    assert (model[4].parametrizations.weight.original == 1).all()
    with_affine = {**state, "4.weight": torch.full((6,), 2.0), "4.bias": torch.zeros(6)}
    load_stock_state_dict(model, with_affine)
    assert (model[4].parametrizations.weight.original == 2).all()


def test_the_root_layer():
    layer, stock = nn.Linear(3, 4), nn.Linear(3, 4)
    insert_asr(layer, targets="")
    load_stock_state_dict(layer, stock.state_dict())
    assert torch.equal(layer.parametrizations.weight.original, stock.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("1.weight"), r"missing: 1\.weight"),
        (lambda s: s.update({"9.weight": torch.ones(1)}), r"unexpected: 9\.weight"),
        (
            lambda s: s.update({"6.bias": torch.ones(7)}),
            r"6\.bias \(7,\) for \(5,\)",
        ),
        (
            lambda s: (s.pop("0.bias"), s.update({"x": torch.ones(1)})),
            r"missing: 0\.bias; unexpected: x",
        ),
    ],
)
def test_any_other_state_is_refused_whole(change, message):
    model = gated()
    before = snapshot(model)
    state = trained().state_dict()
    change(state)
    with pytest.raises(CheckpointError, match=message):
        load_stock_state_dict(model, state)
    assert_unchanged(model, before)


def test_the_models_own_state_is_not_the_stock_one():
    model = gated()
    with pytest.raises(CheckpointError, match=r"missing: 0\.weight.*unexpected: 0\.asr\."):
        load_stock_state_dict(model, model.state_dict())


def test_loading_stock_weights_unstrictly_is_not_silent_loss():
    plain, model = trained(), gated()
    result = model.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert torch.equal(model[0].parametrizations.weight.original, plain[0].weight)
    assert all(".asr." in k or k.startswith("4.") for k in result.missing_keys)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*asr\.psi"):
        gated().load_state_dict(plain.state_dict())


def test_the_state_given_is_not_changed():
    state = trained().state_dict()
    keys = list(state)
    gated().load_state_dict(state, strict=False)
    load_stock_state_dict(gated(), state)
    assert list(state) == keys


def test_own_state_round_trip():
    model, other = gated(), gated()
    randomise(model, std=0.3)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(images()), other(images()))


def test_a_fused_model_takes_stock_keys_as_ever():
    model = gated()
    randomise(model, std=0.3)
    fused = fuse_asr(model)
    state = fused.state_dict()
    fused.load_state_dict(state)
    assert not any(m._load_state_dict_pre_hooks for m in fused.modules())
