"""What a user does between insertion and fusing, on each of the paper's backbones in each mode."""

import copy

import pytest
import torch
from small_backbones import CLASSES, EVERY_NAME, STOCK_MODE, images, small
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr_core import fuse_asr
from asr_core.asr.gate import Gate
from asr_core.asr.parametrization import gated_layers
from asr_core.attention import Attention
from asr_core.models import GATED, MODES

every_backbone = pytest.mark.parametrize("name", EVERY_NAME)
every_mode = pytest.mark.parametrize("mode", MODES)
with_asr = pytest.mark.parametrize("mode", GATED)


def gates(model):
    return [layer.asr for _, layer in gated_layers(model)]


def qualified(module):
    return f"{type(module).__module__}.{type(module).__qualname__}"


def step(model, optimizer, n=4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images(n)), torch.arange(n) % CLASSES)
    loss.backward()
    optimizer.step()
    return loss.item()


def attentions(model):
    """The modules of live attention, not those in gates."""
    return [m for n, m in model.named_modules() if isinstance(m, Attention) and ".asr." not in n]


@every_backbone
@every_mode
def test_forward_and_backward(name, mode):
    model = small(name, mode).train()
    assert bool(gates(model)) == (mode in GATED)
    assert bool(attentions(model)) == (mode in ("live", "both"))
    logits = model(images(4))
    assert logits.shape == (4, CLASSES)
    logits.square().sum().backward()
    for key, parameter in model.named_parameters():
        if mode == "frozen" and ".asr." in key:
            assert parameter.grad is None, key
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any() or not key.endswith("psi"), key


@every_backbone
@every_mode
def test_a_copy_is_equal_and_independent(name, mode):
    model = small(name, mode).eval()
    twin = copy.deepcopy(model)
    before = model(images())
    assert torch.equal(twin(images()), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    assert not torch.equal(twin(images()), before)
    assert torch.equal(model(images()), before)
    for gated in (model, twin):
        want = gated(images())
        fused = fuse_asr(gated)
        assert (fused(images()) - want).abs().max() <= 1e-5 * want.abs().max()


@every_backbone
@with_asr
def test_the_state_dict_goes_round(name, mode):
    model, other = small(name, mode).eval(), small(name, mode, seed=1).eval()
    want = model(images())
    assert not torch.allclose(other(images()), want)
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(images()), want)


@every_backbone
@with_asr
def test_fused_is_the_stock_model_in_every_respect(name, mode):
    model = small(name, mode)
    stock = small(name, STOCK_MODE[mode], seed=1)
    frozen = [key for i, (key, _) in enumerate(stock.named_parameters()) if i % 3 == 0]
    for key, parameter in model.named_parameters():
        key = key.replace("parametrizations.", "").removesuffix(".original")
        parameter.requires_grad_(key not in frozen)
    fused = fuse_asr(model)
    # Not the classes themselves: each fx.GraphModule has its own.
    assert [qualified(m) for m in fused.modules()] == [qualified(m) for m in stock.modules()]
    assert list(fused.state_dict()) == list(stock.state_dict())
    for (key, ours), theirs in zip(fused.named_parameters(), stock.parameters(), strict=True):
        assert type(ours) is nn.Parameter
        assert ours.is_leaf
        assert ours.grad is None
        assert ours.requires_grad == (key not in frozen), key
        assert (ours.shape, ours.dtype, ours.stride()) == (
            theirs.shape,
            theirs.dtype,
            theirs.stride(),
        )
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in fused.modules()]
    assert sum(hooks) == 0
    stock.load_state_dict(fused.state_dict(), strict=True)
    want = fused.eval()(images())
    assert (stock.eval()(images()) - want).abs().max() <= 1e-6 * want.abs().max()


@every_backbone
def test_live_attention_stays_and_works_after_fusing(name):
    model = small(name, "both").eval()
    want = model(images())
    fused = fuse_asr(model)
    assert not gates(fused)
    live = attentions(fused)
    assert len(live) == len(attentions(model)) > 0
    seen = []
    for attention in live:
        attention.register_forward_hook(lambda m, args, gate: seen.append(gate))
    assert (fused(images()) - want).abs().max() <= 1e-5 * want.abs().max()
    assert len(seen) == len(live)
    assert any((gate[0] - gate[1]).abs().max() > 1e-6 for gate in seen)  # it reads the input
    fused.train()(images(4)).square().sum().backward()
    assert all(p.grad is not None for attention in live for p in attention.parameters())


@every_backbone
@with_asr
def test_bf16_autocast(name, mode):
    model = small(name, mode).train()
    owned = [gate for gate in gates(model) if type(gate) is Gate]
    exact = [gate.scale() for gate in owned]
    seen = [[] for _ in owned]  # shared gates are read by several layers
    for gate, reads in zip(owned, seen, strict=True):
        gate.attention[0].register_forward_hook(lambda m, args, v, to=reads: to.append(v.flatten()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images(4))
    assert logits.dtype is torch.bfloat16
    for v, reads in zip(exact, seen, strict=True):
        assert len(reads) > 0
        assert all(torch.equal(read, v) for read in reads)
    logits.float().square().sum().backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.dtype is torch.float32, key
            assert parameter.grad.isfinite().all(), key


@every_backbone
@with_asr
def test_channels_last(name, mode):
    model = small(name, mode).eval()
    want = model(images())
    x = images().to(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last)
    assert (model(x) - want).abs().max() <= 1e-5 * want.abs().max()
    fused = fuse_asr(model)
    stock = small(name, STOCK_MODE[mode]).to(memory_format=torch.channels_last)
    assert any(not p.is_contiguous() for p in stock.parameters())
    for (key, ours), theirs in zip(fused.named_parameters(), stock.parameters(), strict=True):
        assert ours.stride() == theirs.stride(), key
    assert (fused(x) - want).abs().max() <= 1e-5 * want.abs().max()


@every_backbone
@with_asr
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_converted_after_insertion(name, mode, dtype):
    model = small(name, mode).eval().to(dtype)
    x = images(dtype=dtype)
    want = model(x)
    fused = fuse_asr(model)
    assert {p.dtype for p in fused.parameters()} == {dtype}
    assert want.dtype is dtype
    # Fused tensors are those the gated layers used; only the order of sums may differ.
    tolerance = {torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
    assert (fused(x) - want).abs().max() <= tolerance * want.abs().max()


@every_backbone
@with_asr
def test_an_averaged_copy_is_fused_in_mid_training(name, mode):
    model = small(name, mode).train()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    stock = small(name, STOCK_MODE[mode], seed=1).eval()
    for _ in range(3):
        step(model, optimizer)
        averaged.update_parameters(model)
        want = averaged.eval()(images())
        fused = fuse_asr(averaged).eval()
        stock.load_state_dict(fused.state_dict(), strict=True)
        assert (stock(images()) - want).abs().max() <= 1e-5 * want.abs().max()
    assert not torch.allclose(model.eval()(images()), want)
    assert gates(averaged)  # of the average itself nothing was taken
