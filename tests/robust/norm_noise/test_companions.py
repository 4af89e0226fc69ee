from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core.errors import InputError
from robust.norm_noise import (
    BatchNoise,
    ConstantNoise,
    Noise,
    RandomNoise,
    deal,
    draw_companions,
    run_under,
)


def images(count=3, seed=1):
    return torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def net(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def test_photo_companions_are_different_images_of_the_pool():
    pool = images(10)
    mates = draw_companions(pool, 6, seed=0, image_key="astronaut", draw=0)
    places = [next(i for i, p in enumerate(pool) if torch.equal(p, mate)) for mate in mates]
    assert len(set(places)) == 6


def test_every_photo_is_drawn_about_equally_often():
    pool = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    drawn = torch.cat([draw_companions(pool, 2, seed=0, image_key=0, draw=d) for d in range(500)])
    counts = drawn[:, 0, 0, 0].int().bincount()
    assert counts.sum() == 1000
    assert (counts - 200).abs().max() < 45  # 4 standard deviations


def test_noise_companions_are_uniform_noise():
    mates = draw_companions(images(1), 4, seed=0, image_key="astronaut", draw=0, kind="noise")
    assert mates.shape == (4, 3, 6, 6)
    assert mates.min() >= 0
    assert mates.max() <= 1
    assert abs(mates.mean() - 0.5) < 0.05
    assert len(mates.unique()) > 400


@pytest.mark.parametrize("kind", ["photos", "noise"])
def test_companions_depend_on_seed_key_and_draw_alone(kind):
    def drawn(**changed):
        options = {"seed": 0, "image_key": "astronaut", "draw": 0, "kind": kind, **changed}
        return draw_companions(images(40), 5, **options)

    torch.manual_seed(99)
    first = drawn()
    torch.manual_seed(100)
    assert torch.equal(drawn(), first)
    for changed in ({"seed": 1}, {"image_key": "chelsea"}, {"draw": 1}):
        assert not torch.equal(drawn(**changed), first)


def test_output_is_that_of_the_image_in_its_batch():
    model, x, pool = net(), images(2), images(8, seed=2)
    found = run_under(model, x, BatchNoise(4), keys="ab", companions=pool)
    model.train()
    for image, key, output in zip(x, "ab", found, strict=True):
        mates = draw_companions(pool, 3, seed=0, image_key=key, draw=0)
        expected = model(torch.cat([image[None], mates]))[0]
        assert torch.allclose(output, expected, atol=1e-6)
        assert not torch.allclose(output, net()(image[None])[0], atol=1e-2)


@pytest.mark.parametrize("severity", [BatchNoise(4), BatchNoise(3, "noise"), BatchNoise(1)])
def test_companions_may_leave_before_the_head(severity):
    model, x, pool = net(), images(2), images(8, seed=2)
    seen = []
    model[-1].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    options = {"keys": "ab", "companions": pool}
    expected = run_under(model, x, severity, **options)
    found = run_under(model, x, severity, head=model[-1], **options)
    assert torch.allclose(found, expected, atol=1e-6)
    assert seen == [2 * severity.size, 2]
    assert not model[-1]._forward_pre_hooks


def test_without_a_pool_the_images_are_each_others_companions():
    model, x = net(), images(6)
    found = run_under(model, x, BatchNoise(3))
    model.train()
    assert torch.allclose(found, torch.cat([model(part) for part in x.split(3)]), atol=1e-6)


@pytest.mark.parametrize("severity", [None, ConstantNoise(0.8, 0.5), RandomNoise(0.5)])
def test_a_batchs_statistics_can_be_in_use_under_the_other_noises(severity):
    model, x, pool = net(), images(2), images(8, seed=2)
    options = {"keys": "ab", "companions": pool}
    found = run_under(model, x, severity, statistics=BatchNoise(4), **options)
    model.train()
    for image, key, output in zip(x, "ab", found, strict=True):
        batch = torch.cat([image[None], draw_companions(pool, 3, seed=0, image_key=key, draw=0)])
        with (
            nullcontext()
            if severity is None
            else Noise(
                model, severity, granularity="sample" if isinstance(severity, RandomNoise) else None
            ) as noise
        ):
            if noise:
                noise.pin(draw=0, samples=[key, *(f"companion {i}" for i in range(3))])
            assert torch.allclose(output, model(batch)[0], atol=1e-6)
    model.eval()
    assert not torch.allclose(found, run_under(model, x, severity, **options), atol=1e-3)


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
            companions=pool,
        )

    straight = run([0, 1, 2, 3])
    assert torch.allclose(run(list(order)), straight[list(order)], atol=1e-6)
    assert torch.allclose(run([2]), straight[2:3], atol=1e-6)


def test_each_draw_of_companions_gives_another_output():
    model, x, pool = net(), images(1), images(30, seed=3)
    outputs = [
        run_under(model, x, BatchNoise(4), seed=0, keys=["a"], draw=d, companions=pool)
        for d in range(2)
    ]
    assert not torch.allclose(*outputs, atol=1e-4)


@pytest.mark.parametrize("severity", [BatchNoise(1), BatchNoise(4), BatchNoise(4, "noise")])
def test_instance_norm_is_untouched_by_companions(severity):
    model, x = net(nn.InstanceNorm2d), images(3)
    noisy = run_under(model, x, severity, seed=0, keys="abc", draw=0, companions=images(8, seed=3))
    assert torch.allclose(noisy, model(x), atol=1e-6)


def test_a_batch_of_one_needs_no_pool_and_makes_batch_norm_instance_norm():
    model, x = net(), images(3)
    alone = run_under(model, x, BatchNoise(1), seed=0, keys="abc", draw=0)
    assert torch.allclose(alone, net(nn.InstanceNorm2d)(x), atol=1e-5)


@pytest.mark.parametrize("severity", [ConstantNoise(0.8, 0.5), RandomNoise(0.5)])
def test_the_other_noises_are_one_pinned_attack(severity):
    model, x = net(), images(3)
    with Noise(model, severity, seed=4) as noise:
        noise.pin(draw=2)
        expected = model(x)
    options = {"seed": 4, "keys": "abc", "draw": 2, "granularity": "layer"}
    assert torch.equal(run_under(model, x, severity, **options), expected)
    assert not torch.allclose(expected, model(x), atol=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draw_companions(images(3), 4, seed=0, image_key=0, draw=0),
            "4 companions cannot be drawn from a pool of 3",
        ),
        (
            lambda: draw_companions(images(3), 1, seed=0, image_key=0, draw=0, kind="cats"),
            "unknown kind of companions 'cats'.*photos, noise",
        ),
        (
            lambda: draw_companions(images(3)[0], 1, seed=0, image_key=0, draw=0),
            r"pool has shape \(3, 6, 6\)",
        ),
        (
            lambda: run_under(net(), images(1), BatchNoise(2), companions=images(2)[..., 1:]),
            r"companions of shape \(2, 3, 6, 5\)",
        ),
        (lambda: run_under(net(), images(3), BatchNoise(2)), "3 images is no multiple"),
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


@pytest.mark.parametrize(("count", "size", "batch"), [(17, 4, 9), (16, 4, 4), (3, 1, 2), (5, 5, 1)])
def test_groups_are_whole_and_hold_every_image(count: int, size: int, batch: int) -> None:
    batches = deal(count, size, batch, seed=0, draw=0)
    assert all(len(part) % size == 0 for part in batches)
    assert all(len(part) <= max(batch, size) for part in batches)
    assert set(torch.cat(batches).tolist()) == set(range(count))
    assert sum(map(len, batches)) < count + size
    for group in torch.cat(batches).split(size):
        assert len(set(group.tolist())) == size, "an image is its own companion"


def test_groups_follow_seed_draw_and_size_and_nothing_else() -> None:
    def order(batch: int = 8, **changes: int) -> list[int]:
        given = {"seed": 0, "draw": 0, "size": 4, **changes}
        return torch.cat(deal(16, given.pop("size"), batch, **given)).tolist()

    assert order(batch=8) == order(batch=16)
    assert len({tuple(order(**{k: 1})) for k in ("seed", "draw")} | {tuple(order())}) == 3
    assert order(size=2) != order()


def classes(count: int = 60) -> torch.Tensor:
    return torch.arange(count) % 3


def rows_of(order: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """Lengths of the rows of one class."""
    return torch.unique_consecutive(labels[order], return_counts=True)[1].tolist()


def test_class_by_class_all_images_of_a_class_are_in_a_row() -> None:
    labels = classes()
    order = torch.cat(deal(60, 10, 10, seed=0, draw=0, labels=labels))
    assert rows_of(order, labels) == [20, 20, 20]
    assert sorted(order.tolist()) == list(range(60))
    assert order[:20].tolist() != sorted(order[:20].tolist()), "by chance within a class"
    chance = torch.cat(deal(60, 10, 10, seed=0, draw=0))
    assert max(rows_of(chance, labels)) < 10
    orders = {tuple(torch.cat(deal(60, 10, 10, seed=0, draw=d, labels=labels)).tolist())
              for d in range(3)}  # fmt: skip
    assert len(orders) == 3


def test_bursts_are_rows_of_one_class_in_an_order_by_chance() -> None:
    labels = classes()
    order = torch.cat(deal(60, 10, 10, seed=0, draw=0, labels=labels, run=8))
    assert sorted(order.tolist()) == list(range(60))
    lengths = rows_of(order, labels)  # 20 = 8 + 8 + 4, and rows of one class may meet
    assert len(lengths) > 3
    assert all(length % 4 == 0 for length in lengths)


@pytest.mark.parametrize("text", ["4:class", "4:bursts"])
def test_an_order_is_of_images_with_classes(text: str) -> None:
    severity = BatchNoise.parse(text)
    assert (severity.text, severity.by_chance) == (text, True)
    assert severity != BatchNoise(4)
    with pytest.raises(InputError, match=severity.companions):
        run_under(net(), images(2), severity, keys="ab", companions=images(8))
