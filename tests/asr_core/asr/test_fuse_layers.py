"""Every property of fusion over every row of the table of layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import EVERY_ROW, TOLERANCE, Case, Geometry, first, times
from torch import nn

from asr_core import fuse_asr

every_row = pytest.mark.parametrize("case", EVERY_ROW, ids=str)


def close(actual, expected, dtype):
    scale = max(1.0, expected.abs().max().item())
    return (actual - expected).abs().max().item() <= TOLERANCE[dtype] * scale


def check_output(case):
    x, axis = case.input(), case.geometry.axis
    layer, v = case.gated()
    stock, fused = case.stock(), fuse_asr(layer)
    for mode in (True, False):
        plain, gated = first(stock.train(mode)(x)), first(layer.train(mode)(x))
        expected = times(plain, v, axis)
        assert not torch.allclose(gated, plain, rtol=1e-2)  # the gate is not the identity
        assert not close(plain * v.mean(), expected, case.dtype)  # nor the same on all channels
        assert close(gated, expected, case.dtype)
        assert close(first(fused.train(mode)(x)), expected, case.dtype)


@every_row
def test_output_is_stock_times_v(case):
    check_output(case)


def with_affine(stock):
    """The stock layer, or where it was made without γ and β, the stock layer that has them."""
    made = {
        "BatchNorm2d": lambda m: nn.BatchNorm2d(m.num_features),
        "InstanceNorm2d": lambda m: nn.InstanceNorm2d(m.num_features, affine=True),
        "GroupNorm": lambda m: nn.GroupNorm(m.num_groups, m.num_channels),
        "LayerNorm": lambda m: nn.LayerNorm(m.normalized_shape),
        "RMSNorm": lambda m: nn.RMSNorm(m.normalized_shape),
    }
    flags = [getattr(stock, flag, True) for flag in ("affine", "elementwise_affine")]
    return stock if all(flags) else made[type(stock).__name__](stock)


@every_row
def test_fused_layer_is_the_plain_one(case):
    layer, _ = case.gated()
    plain = with_affine(case.stock())
    owner = getattr(layer, "out_proj", None) or layer
    effective = {n: getattr(owner, n).detach().clone() for n in owner.parametrizations}
    unscaled = {n: owner.parametrizations[n].original for n in owner.parametrizations}
    assert any(not torch.equal(effective[n], unscaled[n]) for n in effective)

    fused = fuse_asr(layer)
    target = getattr(fused, "out_proj", None) or fused
    for name, value in effective.items():
        assert torch.equal(getattr(target, name), value)  # bit-equal
    assert type(fused) is type(plain)
    assert repr(fused) == repr(plain)
    assert list(fused.state_dict()) == list(plain.state_dict())  # keys and their order
    assert [n for n, _ in fused.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert not fused._forward_hooks
    assert not fused._forward_pre_hooks
    for parameter in fused.parameters():
        assert parameter.is_leaf
        assert parameter.dtype is case.dtype
    plain.to(case.dtype).load_state_dict(fused.state_dict(), strict=True)
    x = case.input()
    assert torch.equal(first(plain.eval()(x)), first(fused.eval()(x)))


@every_row
def test_original_lives_on_after_its_copy_was_fused(case):
    layer, _ = case.gated()
    x = case.input()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    fuse_asr(layer)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())

    owner = getattr(layer, "out_proj", None) or layer
    learnable = [p for p in layer.parameters() if p.requires_grad]
    if not learnable:  # a frozen gate on a layer without parameters
        assert case.attention == "const"
        return
    first(layer(x)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in owner.asr.parameters())
    torch.optim.SGD(learnable, lr=0.1).step()
    assert any(not torch.equal(before[key], value) for key, value in layer.state_dict().items())
    again, fused = first(layer.eval()(x)), first(fuse_asr(layer).eval()(x))
    assert close(again, fused, case.dtype)


@settings(max_examples=30)
@given(data=st.data())
def test_output_is_stock_times_v_for_any_convolution(data):
    dims = data.draw(st.integers(1, 3), label="dims")
    transposed = data.draw(st.booleans(), label="transposed")
    groups = data.draw(st.integers(1, 3), label="groups")
    inward = groups * data.draw(st.integers(1, 3), label="in")
    outward = groups * data.draw(st.integers(2, 3), label="out")
    each = st.tuples(*[st.integers(1, 3)] * dims)
    bias = data.draw(st.booleans(), label="bias")
    kernel = data.draw(each, label="kernel")
    stride = data.draw(each, label="stride")
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * dims), label="dilation")
    padding = data.draw(st.tuples(*[st.integers(0, 1)] * dims), label="padding")
    name = f"Conv{'Transpose' if transposed else ''}{dims}d"
    geometry = Geometry(
        name,
        lambda: getattr(nn, name)(
            inward,
            outward,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        ),
        (2, inward, *(d * (k - 1) + 3 for k, d in zip(kernel, dilation, strict=True))),
    )
    check_output(Case(geometry, "se", data.draw(st.integers(1, 3), label="delta"), torch.float64))
