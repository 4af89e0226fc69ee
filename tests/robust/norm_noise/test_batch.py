import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core.errors import InputError
from robust.norm_noise import (
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    attack,
    companions,
    run_in_batch,
    run_under,
)


def images(count=3, seed=1):
    return torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def net(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def test_photo_companions_are_different_images_of_the_pool():
    pool = images(10)
    mates = companions(pool, 6, seed=0, image_key="astronaut", draw=0)
    places = [next(i for i, p in enumerate(pool) if torch.equal(p, mate)) for mate in mates]
    assert len(set(places)) == 6


def test_every_photo_is_drawn_about_equally_often():
    pool = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    drawn = torch.cat([companions(pool, 2, seed=0, image_key=0, draw=d) for d in range(500)])
    counts = drawn[:, 0, 0, 0].int().bincount()
    assert counts.sum() == 1000
    assert (counts - 200).abs().max() < 45  # 4 standard deviations


def test_noise_companions_are_uniform_noise():
    mates = companions(images(1), 4, seed=0, image_key="astronaut", draw=0, kind="noise")
    assert mates.shape == (4, 3, 6, 6)
    assert mates.min() >= 0
    assert mates.max() <= 1
    assert abs(mates.mean() - 0.5) < 0.05
    assert len(mates.unique()) > 400


@pytest.mark.parametrize("kind", ["photos", "noise"])
def test_companions_depend_on_seed_key_and_draw_alone(kind):
    def drawn(**changed):
        options = {"seed": 0, "image_key": "astronaut", "draw": 0, "kind": kind, **changed}
        return companions(images(40), 5, **options)

    torch.manual_seed(99)
    first = drawn()
    torch.manual_seed(100)
    assert torch.equal(drawn(), first)
    for changed in ({"seed": 1}, {"image_key": "chelsea"}, {"draw": 1}):
        assert not torch.equal(drawn(**changed), first)


def test_output_is_that_of_the_image_in_its_batch():
    model, image, mates = net(), images(1), images(3, seed=2)
    with attack(model, BatchNoise(4), seed=0):
        together = run_in_batch(model, image, mates)
    model.train()
    expected = model(torch.cat([image, mates]))[:1]
    assert torch.equal(together, expected)
    assert not torch.allclose(together, net()(image), atol=1e-2)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 2))
def test_batch_noise_does_not_depend_on_the_other_images(order, draw):
    model, x, pool, keys = net(), images(4), images(8, seed=3), ["a", "b", "c", 4]

    def run(places):
        return run_under(
            model,
            x[places],
            BatchNoise(3),
            seed=0,
            keys=[keys[i] for i in places],
            draw=draw,
            pool=pool,
        )

    straight = run([0, 1, 2, 3])
    assert torch.equal(run(list(order)), straight[list(order)])
    assert torch.equal(run([2]), straight[2:3])


def test_each_draw_of_companions_gives_another_output():
    model, x, pool = net(), images(1), images(30, seed=3)
    outputs = [
        run_under(model, x, BatchNoise(4), seed=0, keys=["a"], draw=d, pool=pool) for d in range(2)
    ]
    assert not torch.allclose(*outputs, atol=1e-4)


@pytest.mark.parametrize("severity", [BatchNoise(1), BatchNoise(4), BatchNoise(4, "noise")])
def test_instance_norm_is_untouched_by_companions(severity):
    model, x = net(nn.InstanceNorm2d), images(3)
    noisy = run_under(model, x, severity, seed=0, keys="abc", draw=0, pool=images(8, seed=3))
    assert torch.allclose(noisy, model(x), atol=1e-6)


def test_a_batch_of_one_needs_no_pool_and_makes_batch_norm_instance_norm():
    model, x = net(), images(3)
    alone = run_under(model, x, BatchNoise(1), seed=0, keys="abc", draw=0)
    assert torch.allclose(alone, net(nn.InstanceNorm2d)(x), atol=1e-5)


@pytest.mark.parametrize("severity", [ConstantNoise(0.8, 0.5), RandomNoise(0.5)])
def test_the_other_noises_are_one_pinned_attack(severity):
    model, x = net(), images(3)
    with attack(model, severity, seed=4) as noise:
        noise.pin(draw=2)
        expected = model(x)
    assert torch.equal(run_under(model, x, severity, seed=4, keys="abc", draw=2), expected)
    assert not torch.allclose(expected, model(x), atol=1e-2)


def test_batches_hold_one_image_and_its_companions():
    model, sizes = net(), []
    model.register_forward_pre_hook(lambda m, inputs: sizes.append(len(inputs[0])))
    run_under(model, images(5), BatchNoise(4), seed=0, keys="abcde", draw=0, pool=images(6, seed=3))
    assert sizes == [4] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: companions(images(3), 4, seed=0, image_key=0, draw=0),
            "4 companions cannot be drawn from a pool of 3",
        ),
        (
            lambda: companions(images(3), 1, seed=0, image_key=0, draw=0, kind="cats"),
            "unknown kind of companions 'cats'.*photos, noise",
        ),
        (
            lambda: companions(images(3)[0], 1, seed=0, image_key=0, draw=0),
            r"pool has shape \(3, 6, 6\)",
        ),
        (
            lambda: run_in_batch(net(), images(2), images(2)),
            r"\(2, 3, 6, 6\) cannot share a batch",
        ),
        (
            lambda: run_in_batch(net(), images(1), images(2)[..., 1:]),
            r"companions of shape \(2, 3, 6, 5\)",
        ),
        (
            lambda: run_under(net(), images(2), BatchNoise(2), seed=0, keys="ab", draw=0),
            "batch noise 2 needs a pool",
        ),
        (
            lambda: run_under(nn.Flatten(), images(2), BatchNoise(1), seed=0, keys="ab", draw=0),
            "Flatten has no normalisation layer to attack",
        ),
        (
            lambda: run_under(net(), images(2), RandomNoise(0.1), seed=0, keys="a", draw=0),
            "1 keys for 2 images",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
