"""The oracle is DESIGN §5's formula, written out with explicit means and variances in float64."""

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

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from robust.noise import BatchNoise, ConstantNoise, RandomNoise, attack

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
    with attack(layer, ConstantNoise(0.8, 0.5), seed=0):
        noisy = layer(x)
    assert torch.allclose(noisy, gamma * (0.8 * x_hat + 0.5) + beta, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("granularity", ["layer", "channel", "sample"])
@pytest.mark.parametrize("case", CASES)
def test_random_noise_is_the_formula_at_every_granularity(case, granularity):
    layer, x, x_hat, gamma, beta, channels = made(case)
    with attack(layer, RandomNoise(0.5), seed=3, granularity=granularity):
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
    with attack(layer, severity, seed=0), torch.no_grad():
        y = torch.cat([layer(x) for _ in range(400)])
    na, nb = (y[:, 0] - y[:, 1]) / 2, (y[:, 0] + y[:, 1]) / 2
    assert scipy.stats.kstest(na.numpy(), scipy.stats.uniform(*scale).cdf).pvalue > 0.01
    assert scipy.stats.kstest(nb.numpy(), scipy.stats.uniform(*shift).cdf).pvalue > 0.01
    assert abs(scipy.stats.pearsonr(na.numpy(), nb.numpy()).statistic) < 0.15
    assert abs(scipy.stats.pearsonr(na[1:].numpy(), na[:-1].numpy()).statistic) < 0.15


def net(seed=0):
    """Two gateable BatchNorms with random statistics and affine, in eval mode."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, C, 3), nn.BatchNorm2d(C), nn.ReLU(), nn.Conv2d(C, C, 3), nn.BatchNorm2d(C)
    )
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=draw) * 0.5 + 0.2)
    return model.eval()


def gated_net():
    model = net()
    insert_asr(model, "se", targets=["1", "4"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".asr." in f".{name}":
                parameter.copy_(torch.randn(parameter.shape))
    return model


def images(count=3, seed=1):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


ALL_NOISES = [
    (ConstantNoise(0.8, 0.5), "layer"),
    (RandomNoise(0.5), "layer"),
    (RandomNoise(None), "channel"),
    (RandomNoise(0.5), "sample"),
    (BatchNoise(3), "layer"),
]


def test_noise_on_a_gated_layer_is_the_formula_with_v():
    torch.manual_seed(0)
    layer = gated_net().double()[1]
    x = torch.randn(2, C, 4, 4, dtype=torch.float64)
    x_hat, v = by_running(layer, x), layer.asr.scale().detach().reshape(C, 1, 1)
    gamma, beta = (
        p.original.detach().reshape(C, 1, 1)
        for p in (layer.parametrizations.weight, layer.parametrizations.bias)
    )
    assert (v - 1).abs().min() > 1e-3
    with attack(layer, ConstantNoise(0.8, 0.5), seed=0):
        noisy = layer(x)
    assert torch.allclose(noisy, v * (gamma * (0.8 * x_hat + 0.5) + beta), atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("severity", "granularity"), ALL_NOISES)
def test_attacking_the_fused_net_equals_attacking_the_unfused_one(severity, granularity, training):
    torch.manual_seed(1)
    gated = gated_net()
    fused = fuse_asr(gated)
    outputs = []
    for model in (gated.train(training), fused.train(training)):
        with attack(model, severity, seed=5, granularity=granularity):
            outputs.append([model(images()), model(images())])
    for a, b in zip(*outputs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, a.abs().max().item())
    assert not torch.allclose(outputs[0][0], gated.eval()(images()), atol=1e-2)


def test_noise_is_drawn_afresh_each_forward_and_can_be_pinned():
    model, x = net(), images()
    with attack(model, RandomNoise(0.5), seed=0) as noise:
        fresh = [model(x) for _ in range(3)]
        noise.pin(draw=1)
        assert torch.equal(model(x), fresh[1])
        assert torch.equal(model(x), fresh[1])
        noise.pin()
        assert torch.equal(model(x), attacked(net(), x, forwards=6))
    assert not torch.allclose(fresh[0], fresh[1], atol=1e-3)


def attacked(model, x, forwards=1, **options):
    with attack(model, RandomNoise(0.5), **{"seed": 0, **options}):
        return [model(x) for _ in range(forwards)][-1]


def test_draws_depend_on_the_seed():
    model, x = net(), images()
    assert torch.equal(attacked(model, x), attacked(model, x))
    assert not torch.allclose(attacked(model, x), attacked(model, x, seed=1), atol=1e-3)


def test_layers_of_one_forward_have_independent_draws():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.LayerNorm(4, elementwise_affine=False) for _ in range(2))

        def forward(self, x):
            return self.a(x), self.b(x)

    model, x = Two(), torch.randn(3, 4)
    assert torch.equal(*model(x))
    with attack(model, RandomNoise(0.5), seed=0):
        assert not torch.allclose(*model(x), atol=1e-3)


def test_entering_again_starts_the_draws_again():
    model, x = net(), images()
    noise = attack(model, RandomNoise(0.5), seed=0)
    with noise:
        first, second = model(x), model(x)
    with noise:
        assert torch.equal(model(x), first)
    assert not torch.equal(first, second)


def test_draws_are_the_same_in_every_precision():
    layer = nn.LayerNorm(4, elementwise_affine=False)
    x = torch.randn(3, 4, dtype=torch.float64)
    precise = attacked(layer.double(), x)
    assert torch.allclose(attacked(layer.float(), x.float()).double(), precise, atol=1e-6)
    assert attacked(layer.bfloat16(), x.bfloat16()).dtype == torch.bfloat16


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 3))
def test_a_samples_noise_follows_its_key_not_its_place(order, draw):
    model, x = net(), images(5)
    keys = ["astronaut", "chelsea", "coffee", 7, 8]
    with attack(model, RandomNoise(0.5), seed=0, granularity="sample") as noise:
        noise.pin(draw=draw, samples=keys)
        straight = model(x)
        noise.pin(draw=draw, samples=[keys[i] for i in order])
        shuffled = model(x[list(order)])
        noise.pin(draw=draw, samples=keys[2:3])
        alone = model(x[2:3])
    assert torch.allclose(shuffled, straight[list(order)], atol=1e-5)
    assert torch.allclose(alone, straight[2:3], atol=1e-5)


def test_without_keys_samples_differ_by_place():
    model, x = net(), images(1).expand(2, -1, -1, -1)
    with attack(model, RandomNoise(0.5), seed=0, granularity="sample"):
        first, second = model(x)
    assert not torch.allclose(first, second, atol=1e-3)


def test_a_layer_called_twice_gets_two_draws():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4, elementwise_affine=False)

        def forward(self, x):
            return torch.stack([self.norm(x), self.norm(x)])

    model, x = Twice(), torch.randn(3, 4)
    with attack(model, RandomNoise(0.5), seed=0) as noise:
        noise.pin(draw=0)
        once, again = model(x)
        assert not torch.allclose(once, again, atol=1e-3)
        assert torch.equal(model(x)[1], again)


@given(st.floats(0, 2), st.floats(-1, 1), st.floats(0, 2), st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_nested_attacks_compose_inner_first(inner_na, inner_nb, outer_na, outer_nb):
    layer, x, *_ = made("bn2d-eval")
    with (
        attack(layer, ConstantNoise(outer_na, outer_nb), seed=0),
        attack(layer, ConstantNoise(inner_na, inner_nb), seed=0),
    ):
        nested = layer(x)
    scale, shift = outer_na * inner_na, outer_na * inner_nb + outer_nb
    with attack(layer, ConstantNoise(scale, shift), seed=0):
        assert torch.allclose(nested, layer(x), atol=1e-9)


def test_gradients_are_those_of_the_formula():
    layer, x, *_ = made("bn2d")
    x = x.requires_grad_()
    with attack(layer, RandomNoise(0.5), seed=0) as noise:
        noise.pin(draw=0)
        assert torch.autograd.gradcheck(
            lambda x, w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, (x,)),
            (x, layer.weight, layer.bias),
        )


def test_training_under_noise_reaches_the_gate():
    model = gated_net().train()
    with attack(model, RandomNoise(0.5), seed=0):
        model(images()).square().sum().backward()
    assert model[1].asr.psi.grad.abs().sum() > 0


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize(("severity", "granularity"), ALL_NOISES)
def test_the_model_is_as_before_also_after_an_exception(severity, granularity):
    model, x = net(), images()
    before = copy.deepcopy(model.state_dict())
    clean = model(x)
    for breaks in (False, True):
        try:
            with attack(model, severity, seed=0, granularity=granularity):
                assert not torch.allclose(model(x), clean, atol=1e-3)
                if breaks:
                    model(x[:, :1])  # wrong number of channels
        except RuntimeError:
            assert breaks
        assert hooks(model) == 0
        assert model.state_dict().keys() == before.keys()
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert torch.equal(model(x), clean)


def test_training_under_noise_keeps_the_running_statistics_of_the_clean_input():
    noisy, clean, x = net().train(), net().train(), images()
    with attack(noisy, ConstantNoise(0.5, 0.5), seed=0):
        noisy(x)
    clean(x)
    assert torch.equal(noisy[1].running_var, clean[1].running_var)  # noise comes after x̂
    assert not torch.equal(noisy[4].running_var, clean[4].running_var)


def test_layers_outside_the_choice_stay_clean():
    model, x = net(), images()
    with attack(model, ConstantNoise(0.5, 0.5), seed=0, layers="4") as noise:
        assert noise.layers == ("4",)
        first = model[1](x.new_ones(1, C, 2, 2))
    assert torch.equal(first, model[1](x.new_ones(1, C, 2, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": "pixel"}, "unknown granularity 'pixel'.*layer, channel, sample"),
        ({"seed": 1.5}, r"seed 1\.5 is not a whole number"),
        ({"seed": True}, "seed True"),
        ({"layers": "norm*"}, r"unknown norm layer 'norm\*'.*1, 4"),
    ],
)
def test_refused(options, message):
    with pytest.raises(InputError, match=message):
        attack(net(), RandomNoise(0.5), **{"seed": 0, **options})


def test_models_that_cannot_be_attacked_are_refused_with_the_cure():
    with pytest.raises(InputError, match=r"Sequential has no normalisation layer.*folded"):
        attack(nn.Sequential(nn.Conv2d(3, 3, 1)), RandomNoise(0.5), seed=0)
    with pytest.raises(InputError, match=r"attack its \.module"):
        attack(nn.DataParallel(net()), RandomNoise(0.5), seed=0)
    with pytest.raises(InputError, match="compiled or scripted"):
        attack(nn.Sequential(torch.compile(net())), RandomNoise(0.5), seed=0)


def test_an_active_attack_is_not_entered_twice():
    noise = attack(net(), RandomNoise(0.5), seed=0)
    with noise, pytest.raises(RuntimeError, match="active already"), noise:
        pass


def test_pins_are_checked():
    model = net()
    with attack(model, RandomNoise(0.5), seed=0, granularity="sample") as noise:
        with pytest.raises(InputError, match="draw -1 is negative"):
            noise.pin(draw=-1)
        noise.pin(samples=["a", "b"])
        with pytest.raises(InputError, match="2 sample keys are pinned for a batch of 3"):
            model(images(3))
