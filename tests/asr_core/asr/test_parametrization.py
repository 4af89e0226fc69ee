import copy

import pytest
import torch
import torch.utils.checkpoint
from layer_cases import randomise, times
from representative import some_of
from small_net import images, net
from torch import nn

from asr_core import insert_asr
from asr_core.errors import InputError


def test_the_state_dict_holds_the_gate_once():
    model = net()
    insert_asr(model, targets="1", delta=2)
    own = [key for key in model.state_dict() if key.startswith("1.")]
    assert own == [
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "1.asr.psi",
        *(
            f"1.asr.attention.{i}.{layer}.{tensor}"
            for i in (0, 1)
            for layer in ("reduce", "expand")
            for tensor in ("weight", "bias")
        ),
        "1.parametrizations.weight.original",
        "1.parametrizations.bias.original",
    ]


def test_v_is_computed_once_per_forward():
    model = net()
    report = insert_asr(model, targets=["1", "6"])
    calls = []
    for position in report.positions:
        position.gate.attention[0].register_forward_hook(lambda *args: calls.append(1))
    model(images())
    assert len(calls) == 2  # although each has a weight and a bias
    assert not any(position.gate.held for position in report.positions)


def test_v_is_released_when_the_forward_fails():
    model = net()
    insert_asr(model, targets="6")
    with pytest.raises(RuntimeError):
        model[6](torch.zeros(1, 7))
    assert not model[6].asr.held


def test_initialising_after_insertion_is_not_silent():
    model = net()
    insert_asr(model, targets=["1", "6"])
    nn.init.zeros_(model[1].weight)
    with pytest.raises(InputError, match="'weight' with a gate was written in place"):
        model(images())
    model(images())  # said once; nothing was changed
    with pytest.raises(InputError, match=r"reset_parameters\(\) of a gated Linear"):
        model[6].reset_parameters()
    nn.init.zeros_(model[6].parametrizations.weight.original)
    assert torch.equal(model[6].weight, torch.zeros(5, 96))


def test_reading_an_effective_tensor_is_no_write():
    model = net()
    insert_asr(model, targets="1")
    kept = model[1].weight
    kept.square().sum().backward()
    copy.deepcopy(model)(images())
    model(images())
    with torch.inference_mode():
        model[1].weight  # noqa: B018
        model(images())


def test_zero_init_before_insertion_holds():
    model = net()
    nn.init.zeros_(model[1].weight)
    insert_asr(model, targets="1")
    assert (model[1].weight == 0).all()


def test_the_gradient_is_that_of_an_output_gate():
    model, explicit = net().double(), net().double()
    (position,) = insert_asr(model, targets="6").positions
    gate = copy.deepcopy(position.gate)
    x = images(dtype=torch.float64)
    model(x).square().sum().backward()
    (explicit(x) * gate.scale()).square().sum().backward()
    assert torch.allclose(
        model[6].parametrizations.weight.original.grad, explicit[6].weight.grad, rtol=1e-10
    )
    for ours, theirs in zip(position.gate.parameters(), gate.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-10)


def test_attention_gates_the_output_projection():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2).double()
    randomise(attention)
    stock = copy.deepcopy(attention)
    (position,) = insert_asr(attention, targets="").positions
    randomise(position.gate)
    assert position.name == "out_proj"
    calls = []
    position.gate.attention[0].register_forward_hook(lambda *args: calls.append(1))
    x = torch.randn(5, 3, 8, dtype=torch.float64)
    gated = attention(x, x, x)[0]
    assert len(calls) == 1  # the projection's own forward never runs, yet v is computed once
    v = position.gate.scale().detach()
    assert torch.allclose(gated, times(stock(x, x, x)[0], v, -1), atol=1e-12)


def test_amp_trains_the_gates():
    model = net()
    report = insert_asr(model, targets=["1", "6"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(images())
    assert out.dtype is torch.bfloat16
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in report.parameters())
    assert report.positions[0].gate.psi.grad.dtype is torch.float32


@pytest.mark.parametrize("training", some_of([True, False], [True]))
def test_compiled_after_insertion(training):
    model = net()
    report = insert_asr(model, targets=["1", "4", "6"], create_affine=True)
    model.train(training)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    out = compiled(images())
    assert torch.allclose(out, copy.deepcopy(model)(images()), atol=1e-6)
    out.sum().backward()
    assert all(position.gate.psi.grad is not None for position in report.positions)
    assert not any(position.gate.held for position in report.positions)


def test_exported_before_fusing():
    model = net().eval()
    insert_asr(model, targets=["1", "6"])
    program = torch.export.export(model, (images(),))
    assert torch.equal(program.module()(images()), model(images()))
    assert "1.asr.psi" in program.state_dict


def test_functional_call_and_its_gradient():
    model = net().eval()
    insert_asr(model, targets=["1", "6"])
    parameters = dict(model.named_parameters())

    def loss(values):
        return torch.func.functional_call(model, values, (images(),)).square().sum()

    gradients = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            assert torch.allclose(gradients[name], parameter.grad, atol=1e-5), name


def test_gradient_checkpointing():
    model = net()
    report = insert_asr(model, targets=["1", "6"])
    out = torch.utils.checkpoint.checkpoint(model, images(), use_reentrant=False)
    out.sum().backward()
    assert all(position.gate.psi.grad is not None for position in report.positions)
    assert not any(position.gate.held for position in report.positions)
