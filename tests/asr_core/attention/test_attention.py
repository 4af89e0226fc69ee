import numpy as np
import pytest
import timm.layers
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from asr_core.attention import ATTENTIONS, CBAM, DIA, ECA, IE, SE, SPA, SRM, Const
from asr_core.attention.eca import kernel_size
from asr_core.attention.srm import spatial_std
from asr_core.errors import InputError

CHANNEL_GATES = [name for name in ATTENTIONS if name != "cbam"]


def features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(module, *args, **options):
    """The module in double precision with random parameters, so that none is at rest."""
    torch.manual_seed(0)
    built = module(*args, **options).double()
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_names():
    assert ATTENTIONS.names() == ["cbam", "const", "dia", "eca", "ie", "se", "spa", "srm"]
    with pytest.raises(InputError, match=r"unknown attention module 'see'.*'se'.*Known: cbam, "):
        ATTENTIONS["see"]


@pytest.mark.parametrize("name", CHANNEL_GATES)
@given(n=st.integers(2, 3), h=st.integers(1, 9), w=st.integers(1, 9))
def test_gate_is_one_value_per_channel_whatever_the_size(name, n, h, w):
    gate = ATTENTIONS[name](20)(features(n, 20, h, w).float())
    assert gate.shape == (n, 20, 1, 1)
    assert ((gate > 0) & (gate < 1)).all()


def test_activation_ends_the_gate():
    x = features(2, 8, 3, 3)
    logits = torch.logit(build(SE, 8)(x))
    assert torch.allclose(build(SE, 8, activation="tanh")(x), logits.tanh())
    hard = (logits / 6 + 0.5).clamp(0, 1)
    assert torch.allclose(build(SE, 8, activation="hardsigmoid")(x), hard)


@pytest.mark.parametrize("name", ATTENTIONS.names())
def test_bad_arguments(name):
    with pytest.raises(InputError, match="at least 1 channel, got 0"):
        ATTENTIONS[name](0)
    with pytest.raises(InputError, match=r"unknown activation 'relu'.*Known: sigmoid, tanh"):
        ATTENTIONS[name](4, activation="relu")


def test_reduction_below_one_is_refused():
    with pytest.raises(InputError, match="got 0"):
        SE(16, reduction=0)


def test_se_against_torchvision():
    ours = build(SE, 32)
    assert ours.reduce.out_features == max(32 // 16, 4) == 4
    theirs = torchvision.ops.SqueezeExcitation(32, 4).double()
    for conv, linear in ((theirs.fc1, ours.reduce), (theirs.fc2, ours.expand)):
        conv.weight.data = linear.weight.data[:, :, None, None]
        conv.bias.data = linear.bias.data
    x = features(3, 32, 5, 6)
    assert torch.allclose(ours(x) * x, theirs(x), atol=1e-12)
    assert ours(x).std() > 0.01


def test_eca_against_timm():
    ours, theirs = build(ECA, 64), timm.layers.EcaModule(64).double()
    theirs.conv.weight.data = ours.conv.weight.data
    x = features(3, 64, 5, 6)
    assert torch.allclose(ours(x) * x, theirs(x), atol=1e-12)


@pytest.mark.parametrize("channels", [16, 64, 100, 256, 512, 2048])
def test_eca_kernel_size_against_timm(channels):
    assert kernel_size(channels) == timm.layers.EcaModule(channels).conv.kernel_size[0]


def test_eca_kernel_size_of_few_channels():
    assert [kernel_size(channels) for channels in (1, 2, 7, 8)] == [1, 1, 1, 3]


def test_cbam_channel_half_against_timm():
    ours = build(CBAM, 32, spatial=False)
    theirs = timm.layers.cbam.ChannelAttn(32, rd_channels=4).double()
    for conv, linear in ((theirs.fc1, ours.reduce), (theirs.fc2, ours.expand)):
        conv.weight.data = linear.weight.data[:, :, None, None]
    x = features(3, 32, 5, 6)
    assert torch.allclose(ours(x) * x, theirs(x), atol=1e-12)


def test_cbam_whole_is_channel_then_spatial():
    whole = build(CBAM, 8)
    x = features(2, 8, 9, 10)
    channel = whole.channel_gate(x).detach()
    refined = (x * channel).numpy()
    pooled = np.stack([refined.mean(1), refined.max(1)], 1)
    kernel = whole.spatial.weight.detach().numpy()[0]
    padded = np.pad(pooled, ((0, 0), (0, 0), (3, 3), (3, 3)))
    spatial = np.zeros((2, 9, 10))
    for i, j in np.ndindex(9, 10):
        spatial[:, i, j] = (padded[:, :, i : i + 7, j : j + 7] * kernel).sum((1, 2, 3))
    gate = whole(x)
    assert gate.shape == x.shape
    assert np.allclose(gate.detach(), channel.numpy() * sigmoid(spatial)[:, None], atol=1e-12)
    assert not torch.allclose(gate, channel)  # the spatial half says something


def test_ie_by_hand():
    module = build(IE, 6)
    x = features(2, 6, 4, 5)
    gain, offset = (p.detach().numpy() for p in module.parameters())
    expected = sigmoid(gain * x.numpy().mean((2, 3)) + offset)
    assert np.allclose(module(x).detach()[..., 0, 0], expected, atol=1e-12)


def test_ie_starts_as_published():
    gate = IE(6)(features(2, 6, 4, 5).float())
    assert torch.allclose(gate, torch.tensor(sigmoid(-1.0), dtype=torch.float32))


def test_spa_by_hand():
    module = build(SPA, 6)
    x = features(2, 6, 8, 12)
    cells = [
        x.numpy().reshape(2, 6, grid, 8 // grid, grid, 12 // grid).mean((3, 5)).reshape(2, -1)
        for grid in (4, 2, 1)
    ]
    first, second = (p.detach().numpy() for p in module.parameters())
    assert first.shape == (4, 21 * 6)
    hidden = np.maximum(np.concatenate(cells, 1) @ first.T, 0)
    expected = sigmoid(hidden @ second.T)
    assert np.allclose(module(x).detach()[..., 0, 0], expected, atol=1e-12)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_srm_by_hand(batch_norm):
    module = build(SRM, 6, batch_norm=batch_norm)
    x = features(5, 6, 4, 3)
    flat = x.numpy().reshape(5, 6, -1)
    weight = module.weight.detach().numpy()
    logits = weight[:, 0] * flat.mean(-1) + weight[:, 1] * flat.std(-1)
    if batch_norm:
        logits = (logits - logits.mean(0)) / np.sqrt(logits.var(0) + 1e-5)
    norm = module.norm
    logits = logits * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    assert np.allclose(module(x).detach()[..., 0, 0], sigmoid(logits), atol=1e-9)


def test_spatial_std_has_no_nan_where_a_channel_is_constant():
    x = features(2, 3, 4, 4)
    x[:, 1] = 7.0
    x.requires_grad_()
    std = spatial_std(x)
    assert torch.allclose(std[:, 0], x[:, 0].std((1, 2), correction=0))
    assert (std[:, 1] == 0).all()
    std.sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, 0] != 0).any()
    assert (spatial_std(features(2, 3, 1, 1)) == 0).all()


def test_dia_by_hand():
    cell = build(DIA, 8)
    (w1, b1, w2, b2), (u1, c1, u2, c2) = (
        [p.detach().numpy() for p in part.parameters()]
        for part in (cell.from_input, cell.from_state)
    )
    h = c = np.zeros((3, 8))
    gate = cell.unroll()
    for block in range(3):
        x = features(3, 8, 4, 4, seed=block)
        pooled = x.numpy().mean((2, 3))
        gates = np.maximum(pooled @ w1.T + b1, 0) @ w2.T + b2
        gates = gates + np.maximum(h @ u1.T + c1, 0) @ u2.T + c2
        write, forget, show, new = np.split(gates, 4, axis=1)
        c = sigmoid(forget) * c + sigmoid(write) * np.tanh(new)
        h = sigmoid(show) * sigmoid(c)
        assert np.allclose(gate(x).detach()[..., 0, 0], h, atol=1e-12)


def test_dia_forgets_between_passes():
    cell = build(DIA, 8)
    x = features(3, 8, 4, 4)
    assert torch.equal(cell(x), cell(x))
    gate = cell.unroll()
    assert not torch.equal(gate(x), gate(x))


def test_const_has_nothing_to_learn():
    module = Const(5)
    assert not list(module.parameters())
    assert not module.learns
