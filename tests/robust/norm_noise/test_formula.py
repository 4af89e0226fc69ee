"""The oracle is the formula, written out with explicit means and variances in float64."""

import copy

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import LayerNorm2d as TimmLayerNorm2d
from torch import nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops.misc import FrozenBatchNorm2d

from asr_core import insert_asr
from robust.norm_noise import ConstantNoise, Noise, RandomNoise

EPS = 1e-5
C = 6


def batch_axes(x):
    return [0, *range(2, x.dim())]


def instance_axes(x):
    return list(range(2, x.dim()))


def normalise(x, axes):
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (variance + EPS).sqrt()


def by_running(layer, x):
    shape = (1, C, *[1] * (x.dim() - 2))
    variance = layer.running_var.reshape(shape) + EPS
    return (x - layer.running_mean.reshape(shape)) / variance.sqrt()


def by_group(layer, x):
    grouped = x.reshape(x.shape[0], 2, -1)
    return normalise(grouped, [2]).reshape(x.shape)


def by_rms(layer, x):
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()


# name: (layer, input shape, train mode, x̂ of the layer, channel axis)
CASES = {
    "bn1d-NC": (nn.BatchNorm1d(C), (5, C), True, lambda m, x: normalise(x, batch_axes(x)), 1),
    "bn1d": (nn.BatchNorm1d(C), (5, C, 4), True, lambda m, x: normalise(x, batch_axes(x)), 1),
    "bn2d": (nn.BatchNorm2d(C), (3, C, 4, 5), True, lambda m, x: normalise(x, batch_axes(x)), 1),
    "bn2d-plain": (
        nn.BatchNorm2d(C, affine=False),
        (3, C, 4, 5),
        True,
        lambda m, x: normalise(x, batch_axes(x)),
        1,
    ),
    "bn3d": (nn.BatchNorm3d(C), (3, C, 2, 3, 2), True, lambda m, x: normalise(x, batch_axes(x)), 1),
    "bn1d-eval": (nn.BatchNorm1d(C), (5, C), False, by_running, 1),
    "bn2d-eval": (nn.BatchNorm2d(C), (3, C, 4, 5), False, by_running, 1),
    "bn2d-eval-plain": (nn.BatchNorm2d(C, affine=False), (3, C, 4, 5), False, by_running, 1),
    "bn3d-eval": (nn.BatchNorm3d(C), (3, C, 2, 3, 2), False, by_running, 1),
    "sync-eval": (nn.SyncBatchNorm(C), (3, C, 4, 5), False, by_running, 1),
    "frozen": (FrozenBatchNorm2d(C, eps=EPS), (3, C, 4, 5), False, by_running, 1),
    "in1d": (
        nn.InstanceNorm1d(C, affine=True),
        (3, C, 7),
        True,
        lambda m, x: normalise(x, instance_axes(x)),
        1,
    ),
    "in2d": (
        nn.InstanceNorm2d(C, affine=True),
        (3, C, 4, 5),
        False,
        lambda m, x: normalise(x, instance_axes(x)),
        1,
    ),
    "in2d-plain": (
        nn.InstanceNorm2d(C),
        (3, C, 4, 5),
        False,
        lambda m, x: normalise(x, instance_axes(x)),
        1,
    ),
    "in2d-tracked": (
        nn.InstanceNorm2d(C, affine=True, track_running_stats=True),
        (3, C, 4, 5),
        False,
        by_running,
        1,
    ),
    "in3d": (
        nn.InstanceNorm3d(C, affine=True),
        (3, C, 2, 3, 2),
        False,
        lambda m, x: normalise(x, instance_axes(x)),
        1,
    ),
    "group": (nn.GroupNorm(2, C), (3, C, 4, 5), False, by_group, 1),
    "group-plain": (nn.GroupNorm(2, C, affine=False), (3, C, 4), True, by_group, 1),
    "layer": (nn.LayerNorm(C), (3, 4, C), False, lambda m, x: normalise(x, [-1]), 2),
    "layer-no-bias": (
        nn.LayerNorm(C, bias=False),
        (3, 4, C),
        False,
        lambda m, x: normalise(x, [-1]),
        2,
    ),
    "layer-plain": (
        nn.LayerNorm(C, elementwise_affine=False),
        (3, C),
        True,
        lambda m, x: normalise(x, [-1]),
        1,
    ),
    "layer-2-axes": (nn.LayerNorm((4, C)), (3, 4, C), False, lambda m, x: normalise(x, [1, 2]), 2),
    "layer2d": (LayerNorm2d(C, eps=EPS), (3, C, 4, 5), False, lambda m, x: normalise(x, [1]), 1),
    "timm-layer2d": (
        TimmLayerNorm2d(C, eps=EPS),
        (3, C, 4, 5),
        False,
        lambda m, x: normalise(x, [1]),
        1,
    ),
    "rms": (nn.RMSNorm(C, eps=EPS), (3, 4, C), False, by_rms, 2),
}


def made(case):
    """A fresh float64 layer with random affine and statistics; its input, x̂, γ, β, channel axis."""
    template, shape, training, normalised, axis = CASES[case]
    draw = torch.Generator().manual_seed(len(case))
    layer = copy.deepcopy(template).double().train(training)
    with torch.no_grad():
        for tensor in [*layer.parameters(), *layer.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.3)
    x = 2 * torch.randn(shape, generator=draw, dtype=torch.float64) + 1
    # (C,) parameters broadcast along the channel axis; a LayerNorm over two axes has (4, C)
    trailing = [1] * (x.dim() - axis - 1)
    gamma, beta = (
        absent if p is None else p.detach() if p.dim() > 1 else p.detach().reshape(-1, *trailing)
        for p, absent in ((layer.weight, 1.0), (getattr(layer, "bias", None), 0.0))
    )
    return layer, x, normalised(layer, x), gamma, beta, axis


def fit(y, x_hat, axis=None):
    """Na and Nb of y = Na x̂ + Nb, one pair per index of ``axis``, and how far y is from that."""
    pairs = []
    slices = [(y, x_hat)] if axis is None else zip(y.unbind(axis), x_hat.unbind(axis), strict=True)
    worst = 0.0
    for target, features in slices:
        columns = torch.stack([features.flatten(), torch.ones_like(features).flatten()], 1)
        solution = torch.linalg.lstsq(columns, target.reshape(-1, 1), driver="gelsd").solution
        worst = max(worst, (columns @ solution - target.reshape(-1, 1)).abs().max().item())
        pairs.append(solution.flatten())
    return torch.stack(pairs), worst


@pytest.mark.parametrize("case", CASES)
def test_oracle_is_the_layer_when_clean(case):
    layer, x, x_hat, gamma, beta, _ = made(case)
    assert torch.allclose(layer(x), gamma * x_hat + beta, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_constant_noise_is_the_formula(case):
    layer, x, x_hat, gamma, beta, _ = made(case)
    with Noise(layer, ConstantNoise(0.8, 0.5), seed=0):
        noisy = layer(x)
    assert torch.allclose(noisy, gamma * (0.8 * x_hat + 0.5) + beta, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("granularity", ["layer", "channel", "sample"])
@pytest.mark.parametrize("case", CASES)
def test_random_noise_is_the_formula_at_every_granularity(case, granularity):
    layer, x, x_hat, gamma, beta, channels = made(case)
    with Noise(layer, RandomNoise(0.5), seed=3, granularity=granularity):
        noisy = layer(x)
    # recover x̂'s noise from the output, then ask for the pattern that the granularity promises
    axis = {"layer": None, "channel": channels, "sample": 0}[granularity]
    pairs, _ = fit(((noisy - beta) / gamma), x_hat, axis)
    scale, shift = pairs.T
    if axis is not None:
        shape = [1] * x.dim()
        shape[axis] = -1
        scale, shift = scale.reshape(shape), shift.reshape(shape)
        assert len(pairs.unique(dim=0)) == x.shape[axis]
    assert torch.allclose(noisy, gamma * (scale * x_hat + shift) + beta, atol=1e-10)
    assert ((scale - 1).abs() <= 0.5 + 1e-10).all()
    assert (shift.abs() <= 0.5 + 1e-10).all()
    assert not torch.allclose(noisy, gamma * x_hat + beta, atol=1e-3)


@pytest.mark.parametrize(
    ("severity", "scale", "shift"),
    [(RandomNoise(0.2), (0.8, 0.4), (-0.2, 0.4)), (RandomNoise(None), (0, 1), (0, 1))],
)
def test_random_draws_have_the_distributions_of_the_definition(severity, scale, shift):
    layer = nn.LayerNorm(2, elementwise_affine=False, eps=0).double()
    x = torch.tensor([[1.0, -1.0]], dtype=torch.float64)  # is its own x̂
    with Noise(layer, severity, seed=0), torch.no_grad():
        y = torch.cat([layer(x) for _ in range(400)])
    na, nb = (y[:, 0] - y[:, 1]) / 2, (y[:, 0] + y[:, 1]) / 2
    assert scipy.stats.kstest(na.numpy(), scipy.stats.uniform(*scale).cdf).pvalue > 0.01
    assert scipy.stats.kstest(nb.numpy(), scipy.stats.uniform(*shift).cdf).pvalue > 0.01
    assert abs(scipy.stats.pearsonr(na.numpy(), nb.numpy()).statistic) < 0.15
    assert abs(scipy.stats.pearsonr(na[1:].numpy(), na[:-1].numpy()).statistic) < 0.15


def test_noise_on_a_gated_layer_is_the_formula_with_v():
    layer, x, x_hat, gamma, beta, _ = made("bn2d-eval")
    model = nn.Sequential(layer)
    insert_asr(model, "se", targets="0")
    with torch.no_grad():
        layer.asr.psi.copy_(torch.linspace(-1, 1, C).reshape(layer.asr.psi.shape))
    v = layer.asr.scale().detach().reshape(C, 1, 1)
    assert (v - 1).abs().min() > 1e-3
    with Noise(model, ConstantNoise(0.8, 0.5), seed=0):
        noisy = model(x)
    assert torch.allclose(noisy, v * (gamma * (0.8 * x_hat + 0.5) + beta), atol=1e-12)


@given(st.floats(0, 2), st.floats(-1, 1), st.floats(0, 2), st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_nested_attacks_compose_inner_first(inner_na, inner_nb, outer_na, outer_nb):
    layer, x, *_ = made("bn2d-eval")
    with (
        Noise(layer, ConstantNoise(outer_na, outer_nb), seed=0),
        Noise(layer, ConstantNoise(inner_na, inner_nb), seed=0),
    ):
        nested = layer(x)
    scale, shift = outer_na * inner_na, outer_na * inner_nb + outer_nb
    with Noise(layer, ConstantNoise(scale, shift), seed=0):
        assert torch.allclose(nested, layer(x), atol=1e-9)


def test_gradients_are_those_of_the_formula():
    layer, x, *_ = made("bn2d")
    x = x.requires_grad_()
    with Noise(layer, RandomNoise(0.5), seed=0) as noise:
        noise.pin(draw=0)
        assert torch.autograd.gradcheck(
            lambda x, w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, (x,)),
            (x, layer.weight, layer.bias),
        )
