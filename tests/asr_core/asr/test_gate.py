import copy
import math

import pytest
import torch
from layer_cases import AS_GATE, randomise

from asr_core.asr.gate import Gate
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError

every_attention = pytest.mark.parametrize("attention", AS_GATE)
every_delta = pytest.mark.parametrize("delta", [1, 2, 3])


def random_gate(attention, delta=1, channels=20):
    torch.manual_seed(0)
    gate = Gate(channels, attention, delta=delta).double()
    randomise(gate, std=0.5)
    return gate


def test_which_attention_can_be_a_gate():
    assert AS_GATE == ["cbam", "const", "eca", "ie", "se", "spa", "srm"]
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate: its LSTM carries state"):
        Gate(8, "dia")


@every_attention
@every_delta
def test_v_is_the_product_of_the_attentions_of_psi(attention, delta):
    gate = random_gate(attention, delta)
    assert gate.psi.shape == (delta, 20, 1, 1)
    assert len(gate.attention) == delta
    v = gate.scale()
    assert v.shape == (20,)
    assert v.isfinite().all()
    expected = torch.ones(20, dtype=torch.float64)
    for i in range(delta):
        expected = expected * gate.attention[i](gate.psi[i][None])[0, :, 0, 0]
    assert torch.allclose(v, expected, rtol=1e-14)
    assert v.std() > 0.01


@every_attention
@every_delta
def test_v_is_the_same_in_train_and_eval_mode_and_changes_no_buffer(attention, delta):
    gate = random_gate(attention, delta)
    before = copy.deepcopy(gate.state_dict())
    train, again, evaluated = gate.train().scale(), gate.scale(), gate.eval().scale()
    assert torch.equal(train, again)
    assert torch.equal(train, evaluated)
    after = gate.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert [name for name, _ in gate.named_buffers()] == (["psi"] if attention == "const" else [])


@every_attention
@every_delta
def test_gradient_reaches_psi_and_theta(attention, delta):
    gate = random_gate(attention, delta)
    for tensor in gate.state_dict().values():
        tensor.abs_().mul_(0.2)  # no dead ReLU, no saturated sigmoid
    v = gate.scale()
    if attention == "const":
        assert not v.requires_grad
        assert not list(gate.parameters())
        return
    v.square().sum().backward()
    for name, parameter in gate.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # The std of a single pixel is 0 whatever its weight.
        live = parameter.grad[:, :1] if name.endswith("0.weight") else parameter.grad
        assert live.abs().sum() > 0, name


@every_attention
def test_gradient_is_that_of_finite_differences(attention):
    gate = random_gate(attention, channels=4)
    inputs = list(gate.parameters())
    if attention == "const":
        assert inputs == []
        return

    def scale(*values):
        names = [name for name, _ in gate.named_parameters()]
        return torch.func.functional_call(gate, dict(zip(names, values, strict=True)), ())

    assert torch.autograd.gradcheck(scale, tuple(inputs))


@every_attention
def test_gate_on_one_channel(attention):
    v = Gate(1, attention).scale()
    assert v.shape == (1,)
    assert v.isfinite().all()


def test_start():
    for psi, activation, value in ((0.1, "sigmoid", 0.52498), (1e-3, "tanh", 1e-3)):
        gate = Gate(6, "const", psi=psi, activation=activation)
        assert torch.allclose(gate.scale(), torch.full((6,), value), rtol=1e-4)
    assert torch.allclose(
        Gate(6, "const", delta=3).scale(), torch.full((6,), 0.52498**3), rtol=1e-4
    )
    torch.manual_seed(0)
    means = [Gate(64, "se").scale().mean().item() for _ in range(20)]
    assert 0.45 < sum(means) / 20 < 0.58  # about σ(0.1), as the control starts exactly


def test_attention_init_sets_every_weight_of_the_attention():
    gate = Gate(32, "se", psi=1e-3, activation="tanh", attention_init=1e-3)
    assert all((p == 1e-3).all() for p in gate.attention.parameters())
    hidden = 32 * 1e-3 * 1e-3 + 1e-3
    assert torch.allclose(gate.scale(), torch.full((32,), math.tanh(4 * hidden * 1e-3 + 1e-3)))


def test_const_keeps_its_v_in_the_state_dict_and_under_unfreezing():
    gate, other = Gate(5, "const", psi=0.7), Gate(5, "const")
    assert list(gate.state_dict()) == ["psi"]
    other.load_state_dict(gate.state_dict())
    assert torch.equal(other.scale(), gate.scale())
    gate.requires_grad_(True)
    assert not gate.scale().requires_grad


def test_equal_seeds_give_equal_gates():
    torch.manual_seed(3)
    first = Gate(16, "se", delta=2)
    torch.manual_seed(3)
    second = Gate(16, "se", delta=2)
    assert torch.equal(first.scale(), second.scale())
    third = Gate(16, "se", delta=2)
    assert not torch.equal(first.scale(), third.scale())
    assert not torch.equal(first.attention[0].reduce.weight, first.attention[1].reduce.weight)


def test_held_v_is_computed_once():
    gate = random_gate("se")
    calls = []
    gate.attention[0].register_forward_hook(lambda *args: calls.append(1))
    gate.hold()
    assert gate.held
    assert gate.scale() is gate.scale()
    gate.release()
    assert not gate.held
    gate.scale()
    assert len(calls) == 2


def test_autocast_does_not_round_v():
    gate = Gate(16, "se")
    exact = gate.scale()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert gate.attention[0](gate.psi).dtype is torch.bfloat16  # it would
        assert torch.equal(gate.scale(), exact)


def test_never_trained():
    for attention in ATTENTIONS.names():
        if ATTENTIONS[attention].asr_refusal:
            continue
        gate = Gate(8, attention)
        gate.mark_start()
        assert gate.never_trained() == (attention != "const")
        assert copy.deepcopy(gate).half().never_trained() == (attention != "const")
        for parameter in gate.parameters():
            parameter.data.add_(1e-3)
        assert not gate.never_trained()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0}, "delta is 0"),
        ({"delta": 1.5}, r"delta is 1\.5"),
        ({"delta": True}, "delta is True"),
        ({"psi": math.nan}, "psi is nan; it must be finite"),
        ({"psi": 1e308}, r"psi is 1e\+308; it must be finite"),
        ({"attention_init": -math.inf}, "attention_init is -inf"),
        ({"attention": "cbm"}, r"unknown attention module 'cbm'.*Did you mean 'cbam'"),
        ({"activation": "relu"}, "unknown activation 'relu'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(InputError, match=message):
        Gate(8, **options)


def test_parameters_of_a_gate_over_64_channels():
    c = 64
    theta = {
        "cbam": 2 * c * 4,  # the channel half alone
        "const": 0,
        "eca": 3,
        "ie": 2 * c,
        "se": 2 * c * 4 + c + 4,
        "spa": 22 * c * 4,
        "srm": 4 * c,
    }
    for attention in AS_GATE:
        gate = Gate(c, attention, delta=2)
        psi = 0 if attention == "const" else c
        assert sum(p.numel() for p in gate.parameters()) == 2 * (theta[attention] + psi)
