import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from robust.norm_noise import BatchNoise, ConstantNoise, Noise, RandomNoise

C = 6


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
    (BatchNoise(3), None),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("severity", "granularity"), ALL_NOISES)
def test_attacking_the_fused_net_equals_attacking_the_unfused_one(severity, granularity, training):
    torch.manual_seed(1)
    gated = gated_net()
    fused = fuse_asr(gated)
    outputs = []
    for model in (gated.train(training), fused.train(training)):
        with Noise(model, severity, seed=5, granularity=granularity):
            outputs.append([model(images()), model(images())])
    for a, b in zip(*outputs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, a.abs().max().item())
    assert not torch.allclose(outputs[0][0], gated.eval()(images()), atol=1e-2)


def test_noise_is_drawn_afresh_each_forward_and_can_be_pinned():
    model, x = net(), images()
    with Noise(model, RandomNoise(0.5), seed=0) as noise:
        fresh = [model(x) for _ in range(3)]
        noise.pin(draw=1)
        assert torch.equal(model(x), fresh[1])
        assert torch.equal(model(x), fresh[1])
        noise.pin()
        assert torch.equal(model(x), attacked(net(), x, forwards=6))
    assert not torch.allclose(fresh[0], fresh[1], atol=1e-3)


def attacked(model, x, forwards=1, **options):
    with Noise(model, RandomNoise(0.5), **{"seed": 0, **options}):
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
    with Noise(model, RandomNoise(0.5), seed=0):
        assert not torch.allclose(*model(x), atol=1e-3)


def test_entering_again_starts_the_draws_again():
    model, x = net(), images()
    noise = Noise(model, RandomNoise(0.5), seed=0)
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
    with Noise(model, RandomNoise(0.5), seed=0, granularity="sample") as noise:
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
    with Noise(model, RandomNoise(0.5), seed=0, granularity="sample"):
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
    with Noise(model, RandomNoise(0.5), seed=0) as noise:
        noise.pin(draw=0)
        once, again = model(x)
        assert not torch.allclose(once, again, atol=1e-3)
        assert torch.equal(model(x)[1], again)


def test_training_under_noise_reaches_the_gate():
    model = gated_net().train()
    with Noise(model, RandomNoise(0.5), seed=0):
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
            with Noise(model, severity, seed=0, granularity=granularity):
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
    with Noise(noisy, ConstantNoise(0.5, 0.5), seed=0):
        noisy(x)
    clean(x)
    assert torch.equal(noisy[1].running_var, clean[1].running_var)  # noise comes after x̂
    assert not torch.equal(noisy[4].running_var, clean[4].running_var)


def test_layers_outside_the_choice_stay_clean():
    model, x = net(), images()
    with Noise(model, ConstantNoise(0.5, 0.5), seed=0, layers="4") as noise:
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
        Noise(net(), RandomNoise(0.5), **{"seed": 0, **options})


def test_models_that_cannot_be_attacked_are_refused_with_the_cure():
    with pytest.raises(InputError, match=r"Sequential has no normalisation layer.*folded"):
        Noise(nn.Sequential(nn.Conv2d(3, 3, 1)), RandomNoise(0.5), seed=0)
    with pytest.raises(InputError, match=r"attack its \.module"):
        Noise(nn.DataParallel(net()), RandomNoise(0.5), seed=0)
    with pytest.raises(InputError, match="compiled or scripted"):
        Noise(nn.Sequential(torch.compile(net())), RandomNoise(0.5), seed=0)


def test_an_active_attack_is_not_entered_twice():
    noise = Noise(net(), RandomNoise(0.5), seed=0)
    with noise, pytest.raises(RuntimeError, match="active already"), noise:
        pass


def test_pins_are_checked():
    model = net()
    with Noise(model, RandomNoise(0.5), seed=0, granularity="sample") as noise:
        with pytest.raises(InputError, match="draw -1 is negative"):
            noise.pin(draw=-1)
        noise.pin(samples=["a", "b"])
        with pytest.raises(InputError, match="2 sample keys are pinned for a batch of 3"):
            model(images(3))


# --- batch noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_batch_noise_takes_the_statistics_of_as_many_images_as_it_says(size):
    """Against torch's own batch norm on each group of so many."""
    model, x = net().double(), images(6).double()
    with torch.no_grad(), Noise(model, BatchNoise(size), seed=0) as noise:
        found = model(x)
    twin = copy.deepcopy(model)
    for norm in (twin[1], twin[4]):
        norm.running_mean = norm.running_var = None
    with torch.no_grad():
        expected = torch.cat([twin(part) for part in x.split(size)])
        whole = twin(x)
    assert torch.allclose(found, expected, atol=1e-12)
    assert size == 6 or not torch.allclose(found, whole, atol=1e-3)
    assert noise.layers == ("1", "4")


def test_a_batch_of_another_size_is_refused():
    model = net()
    with (
        Noise(model, BatchNoise(4), seed=0),
        pytest.raises(InputError, match="a batch of 6 images is no multiple of groups of 4"),
    ):
        model(images(6))


def test_layers_that_see_several_rows_an_image_are_grouped_by_images():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            rows = x.flatten(2).transpose(1, 2)  # (N, 64, 3)
            return self.norm(rows.flatten(0, 1)).reshape(rows.shape)

    model, x = Tokens().double().eval(), images(4).double()
    with Noise(model, BatchNoise(2), seed=0):
        found = model(x)
    parts = [p.flatten(2).transpose(1, 2).reshape(-1, 3) for p in x.split(2)]
    expected = [(p - p.mean(0)) / (p.var(0, correction=0) + 1e-5).sqrt() for p in parts]
    assert torch.allclose(found.reshape(-1, 3), torch.cat(expected), atol=1e-12)


@pytest.mark.parametrize(
    ("severity", "options", "message"),
    [
        (BatchNoise(4), {"granularity": "channel"}, "batch noise 4 has no granularity.*'channel'"),
    ],
)
def test_what_batch_noise_would_ignore_is_refused(severity, options, message):
    with pytest.raises(InputError, match=message):
        Noise(net(), severity, seed=0, **options)


def test_a_batch_norm_of_one_value_a_channel_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)).eval()
    with Noise(model, BatchNoise(1), seed=0):
        for count in (1, 3):
            with pytest.raises(InputError, match=r"one value a channel.*take a larger batch"):
                model(images(count))
