import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asr_core.errors import InputError, TargetError
from robust.norm_noise import (
    ConstantNoise,
    Noise,
    batch_name,
    batch_statistics,
    blended_statistics,
    reestimated_statistics,
)


def net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(4)
    )
    with torch.no_grad():
        for layer in (model[1], model[4]):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 2)
            layer.num_batches_tracked.fill_(7)
    return model


def images(count=3, seed=1):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def state(model):
    return (
        copy.deepcopy(model.state_dict()),
        [m.training for m in model.modules()],
        [(m.momentum, m.track_running_stats) for m in (model[1], model[4])],
    )


def assert_same(model, before):
    tensors, *rest = before
    now, *rest_now = state(model)
    assert list(now) == list(tensors)
    assert all(torch.equal(now[key], tensors[key]) for key in tensors)
    assert rest_now == rest


def by_hand(model, x):
    """The net with its BatchNorms on the statistics of ``x``, without dropout."""
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            x = F.batch_norm(x, None, None, layer.weight, layer.bias, True, 0, layer.eps)
        elif not isinstance(layer, nn.Dropout):
            x = layer(x)
    return x


def test_batch_statistics_are_those_of_the_batch_in_eval_mode():
    model, x = net().eval(), images()
    running = model(x)
    with batch_statistics(model):
        assert torch.allclose(model(x), by_hand(model, x), atol=1e-6)
    assert torch.equal(model(x), running)
    assert not torch.allclose(running, by_hand(model, x), atol=0.1)


def test_a_batch_of_one_makes_batch_norm_instance_norm():
    norm = nn.BatchNorm2d(4).eval()
    norm.running_mean.fill_(3)
    x = torch.randn(5, 4, 6, 6)
    with batch_statistics(norm):
        alone = torch.cat([norm(image[None]) for image in x])
    assert torch.allclose(alone, nn.InstanceNorm2d(4)(x), atol=1e-5)


def test_instance_norm_that_tracks_uses_each_instances_own():
    norm = nn.InstanceNorm2d(4, track_running_stats=True).eval()
    norm.running_mean.fill_(3)
    x = torch.randn(5, 4, 6, 6)
    assert not torch.allclose(norm(x), nn.InstanceNorm2d(4)(x), atol=0.1)
    with batch_statistics(norm):
        assert torch.allclose(norm(x), nn.InstanceNorm2d(4)(x), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("kind", ["batch", "re-estimated"])
def test_everything_is_put_back(kind, breaks, training):
    model, x = net().train(training), images()
    model[3].train()  # a mode of its own
    before = state(model)
    buffer = model[1].running_mean
    context = (
        batch_statistics(model)
        if kind == "batch"
        else reestimated_statistics(model, [x, images(4)])
    )
    try:
        with context:
            model.eval()(x)
            model.train()(x)
            for module, mode in zip(model.modules(), before[1], strict=True):
                module.training = mode
            if breaks:
                raise KeyError("stop")
    except KeyError:
        assert breaks
    assert_same(model, before)
    assert model[1].running_mean is buffer


def test_a_batch_that_breaks_the_estimate_puts_all_back():
    model = net().eval()
    before = state(model)
    with (
        pytest.raises(RuntimeError),
        reestimated_statistics(model, [images(), images()[:, :1]]),
    ):
        pass
    assert_same(model, before)


def test_train_mode_under_batch_statistics_updates_nothing():
    model = net().train()
    before = state(model)
    with batch_statistics(model):
        model(images())
    assert_same(model, before)
    model(images())
    assert model[1].num_batches_tracked == 8  # without the context it would have


def test_reestimated_statistics_are_the_mean_over_the_batches():
    model = net().eval()
    model[3].train()  # dropout, which must not be in the estimate
    batches = [images(3, 1), images(3, 2), images(3, 3)]
    features = [model[0](b) for b in batches]
    mean = torch.stack([f.mean((0, 2, 3)) for f in features]).mean(0)
    variance = torch.stack([f.var((0, 2, 3)) for f in features]).mean(0)
    assert not torch.allclose(model[1].running_mean, mean, atol=0.1)
    with reestimated_statistics(model, iter(batches)):
        assert [m for m in model.modules() if m.training] == [model[3]]
        assert torch.allclose(model[1].running_mean, mean, atol=1e-6)
        assert torch.allclose(model[1].running_var, variance, atol=1e-6)
        # the second norm saw what the first one, normalising by the batch, let through: no dropout
        after = torch.stack([by_hand(model[:4], b).mean((0, 2, 3)) for b in batches]).mean(0)
        assert torch.allclose(model[4].running_mean, after, atol=1e-5)


def test_reestimation_under_an_attack_sees_the_noise():
    model, x = net().eval(), images()
    with reestimated_statistics(model, [x]):
        clean = model[4].running_mean.clone()
    with Noise(model, ConstantNoise(0.5, 0.8), seed=0), reestimated_statistics(model, [x]):
        assert (model[4].running_mean - clean).abs().min() > 0.05


def test_reestimated_statistics_undo_an_offset_that_running_ones_keep():
    model = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, affine=False)).eval()
    x = images(16)
    with Noise(model, ConstantNoise(1, 5), seed=0, layers="0"):
        drifted = model(x).mean()
        with reestimated_statistics(model, [x]):
            assert model(x).mean().abs() < 1e-4
    assert drifted > 4


def test_only_the_chosen_layers_use_the_batch():
    model, x = net().eval(), images()
    with batch_statistics(model, layers="4"):
        assert model[1].running_mean is not None
        assert model[4].running_mean is None
        model(x)
    with (
        pytest.raises(TargetError, match="unknown norm layer 'bn'"),
        batch_statistics(model, layers="bn"),
    ):
        pass


def test_no_batches_are_refused():
    model = net().eval()
    before = state(model)
    with pytest.raises(InputError, match="no batches"), reestimated_statistics(model, []):
        pass
    assert_same(model, before)


def test_a_model_without_batch_norm_is_left_alone():
    model, x = nn.Sequential(nn.InstanceNorm2d(3), nn.LayerNorm(8)), images()
    clean = model(x)
    with batch_statistics(model):
        assert torch.equal(model(x), clean)
    with reestimated_statistics(model, [x]):
        assert torch.equal(model(x), clean)


def test_names_for_tables():
    assert batch_name(4) == "batch (n = 4)"


# --- blended statistics ---------------------------------------------------------------------------


def blended_by_hand(model, x, prior, size):
    """The net without dropout, each ``size`` images normalised by the blend; in float64."""
    rows = []
    for group in x.double().split(size):
        for layer in copy.deepcopy(model).double():
            if isinstance(layer, nn.BatchNorm2d):
                mean, var = group.mean((0, 2, 3)), group.var((0, 2, 3), unbiased=False)
                mean = (prior * layer.running_mean + size * mean) / (prior + size)
                var = (prior * layer.running_var + size * var) / (prior + size)
                normal = (group - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
                group = normal * layer.weight[:, None, None] + layer.bias[:, None, None]
            elif not isinstance(layer, nn.Dropout):
                group = layer(group)
        rows.append(group)
    return torch.cat(rows)


@pytest.mark.parametrize(("prior", "size"), [(1, 1), (3, 2), (16, 6), (5, 3)])
def test_a_blend_counts_the_running_statistics_as_so_many_images(prior, size):
    model, x = net().double().eval(), images(6).double()
    wanted = blended_by_hand(model, x, prior, size)
    before = state(model)
    with blended_statistics(model, prior, size):
        assert torch.allclose(model(x), wanted, rtol=1e-10, atol=1e-12)
    assert_same(model, before)
    with batch_statistics(model, size):
        assert not torch.allclose(model(x), wanted, atol=0.05)
    assert not torch.allclose(model(x), wanted, atol=0.05)


def test_the_ends_of_a_blend_are_batch_and_running_statistics():
    model, x = net().eval(), images(6)
    with batch_statistics(model, 3):
        batch = model(x)
    with blended_statistics(model, 0, 3):
        assert torch.equal(model(x), batch)
    with blended_statistics(model, 10**9, 3):
        far = model(x)
    assert torch.allclose(far, model(x), atol=1e-5)
    assert not torch.allclose(batch, far, atol=0.1)


def test_a_blend_is_differentiated_through_the_batch():
    """An attack knows that its image moves the statistics."""
    model = nn.Sequential(nn.BatchNorm2d(2)).double().eval()
    x = torch.rand(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    with blended_statistics(model, 2, 2):
        assert torch.autograd.gradcheck(model, (x,))
        (gradient,) = torch.autograd.grad(model(x)[0].square().sum(), x)
    assert gradient[1].abs().max() > 1e-3, "the other image has a part"


def test_a_blend_in_half_precision_computes_statistics_in_full():
    model = nn.Sequential(nn.BatchNorm1d(2)).eval()
    x = (100 + torch.randn(64, 2)).bfloat16()
    with blended_statistics(model, 1, 64):
        assert model(x).dtype is torch.bfloat16
        assert torch.allclose(model(x).float(), model(x.float()), atol=0.02)


def test_a_blend_leaves_norms_without_running_statistics_and_all_others():
    model = nn.Sequential(
        nn.BatchNorm2d(4, track_running_stats=False), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True),
    ).eval()  # fmt: skip
    model[3].running_mean.fill_(2)
    x = torch.rand(4, 4, 5, 5)
    wanted = model(x)
    with blended_statistics(model, 3, 2):
        assert torch.equal(model(x), wanted)


def test_a_blend_that_cannot_be():
    model, x = net().eval(), images(5)
    with pytest.raises(InputError, match="-1 images is below 0"), blended_statistics(model, -1, 2):
        pass
    with pytest.raises(InputError, match="0 images cannot share"), blended_statistics(model, 1, 0):
        pass
    with blended_statistics(model, 1, 2), pytest.raises(InputError, match="5 images is no mult"):
        model(x)
    before = state(model)
    with pytest.raises(ZeroDivisionError), blended_statistics(model, 1, 2):
        raise ZeroDivisionError
    assert_same(model, before)
