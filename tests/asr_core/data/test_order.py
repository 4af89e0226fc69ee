"""asr_core.data.order: what a step sees is a function of seed, epoch and step."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr_core.data import MemorySplit, Split, order
from asr_core.errors import InputError


class Recorder(Split):
    """Its batches are what was asked for: (n, 2) of index and draw, or (n, 1) of index."""

    def __init__(self, count: int) -> None:
        super().__init__(torch.arange(count) * 7 % 5)

    def train_stream(self, requests: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        for indices, draws in requests:
            yield torch.stack([indices, draws], 1)

    def test_stream(self, requests: Iterable[Tensor]) -> Iterator[Tensor]:
        for indices in requests:
            yield indices[:, None]


@st.composite
def epochs(draw: st.DrawFn) -> tuple[Recorder, dict[str, int], int]:
    """A split, the options of an epoch of it, and a number of processes that can share it."""
    world = draw(st.integers(1, 4))
    batch_size = world * draw(st.integers(1, 5))
    count = batch_size + draw(st.integers(0, 40))
    options = {
        "batch_size": batch_size,
        "seed": draw(st.integers(-5, 2**70)),
        "epoch": draw(st.integers(0, 300)),
    }
    return Recorder(count), options, world


@given(epochs())
def test_an_epoch_is_a_permutation(case: tuple[Recorder, dict[str, int], int]) -> None:
    split, options, _ = case
    batches = list(order.train_batches(split, **options))
    assert len(batches) == order.steps_per_epoch(split, options["batch_size"])
    assert len(batches) == len(split) // options["batch_size"]
    seen = torch.cat([asked[:, 0] for asked, _ in batches]).tolist()
    assert len(seen) == len(set(seen)) > len(split) - options["batch_size"]
    assert set(seen) <= set(range(len(split)))
    for asked, labels in batches:
        assert torch.equal(labels, asked[:, 0] * 7 % 5), "each image has its own label"


@given(epochs())
def test_all_ranks_together_see_what_one_process_sees(
    case: tuple[Recorder, dict[str, int], int],
) -> None:
    split, options, world = case
    ranks = [
        list(order.train_batches(split, **options, rank=rank, world=world)) for rank in range(world)
    ]
    alone = list(order.train_batches(split, **options))
    assert all(len(batches) == len(alone) for batches in ranks)
    for step, (asked, labels) in enumerate(alone):
        assert torch.equal(torch.cat([batches[step][0] for batches in ranks]), asked)
        assert torch.equal(torch.cat([batches[step][1] for batches in ranks]), labels)
        assert len({len(batches[step][1]) for batches in ranks}) == 1


@given(epochs(), st.integers(0, 100), st.data())
def test_an_epoch_can_be_entered_at_any_step(
    case: tuple[Recorder, dict[str, int], int], start: int, data: st.DataObject
) -> None:
    split, options, world = case
    rank = data.draw(st.integers(0, world - 1))
    whole = list(order.train_batches(split, **options, rank=rank, world=world))
    start = min(start, len(whole))
    tail = list(order.train_batches(split, **options, rank=rank, world=world, start=start))
    assert len(tail) == len(whole) - start
    for (asked, labels), (again, same) in zip(whole[start:], tail, strict=True):
        assert torch.equal(asked, again)
        assert torch.equal(labels, same)


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 6))
def test_a_test_covers_each_sample_once(count: int, batch_size: int, world: int) -> None:
    split = Recorder(count)
    seen: list[int] = []
    for rank in range(world):
        for asked, labels, indices in order.test_batches(
            split, batch_size=batch_size, rank=rank, world=world
        ):
            assert torch.equal(asked[:, 0], indices)
            assert torch.equal(labels, indices * 7 % 5)
            assert 0 < len(indices) <= -(-batch_size // world)
            seen += indices.tolist()
    assert sorted(seen) == list(range(count))


def test_epochs_seeds_and_steps_differ() -> None:
    def asked(seed: int, epoch: int) -> Tensor:
        options = {"batch_size": 32, "seed": seed, "epoch": epoch}
        return torch.cat([asked for asked, _ in order.train_batches(Recorder(64), **options)])

    first = asked(0, 0)
    assert not torch.equal(first[:, 0], torch.arange(64)), "shuffled"
    for other in (asked(0, 1), asked(1, 0)):
        assert (first[:, 0] == other[:, 0]).sum() < 10
        assert set(first[:, 1].tolist()).isdisjoint(other[:, 1].tolist())
    assert len(set(first[:, 1].tolist())) == 64, "a new draw for every image of every step"


def test_the_global_generator_neither_matters_nor_moves() -> None:
    torch.manual_seed(1)
    first = list(order.train_batches(Recorder(20), batch_size=4, seed=0, epoch=0))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = list(order.train_batches(Recorder(20), batch_size=4, seed=0, epoch=0))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))


def test_real_images_are_the_same_in_two_processes_as_in_one() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (21, 3, 9, 9), dtype=torch.uint8, generator=random)
    split = MemorySplit(images, torch.arange(21) % 3)
    options = {"batch_size": 6, "seed": 0, "epoch": 2}
    alone = list(order.train_batches(split, **options))
    halves = [list(order.train_batches(split, **options, rank=r, world=2)) for r in (0, 1)]
    assert len(alone) == 3
    for (whole, _), (left, _), (right, _) in zip(alone, *halves, strict=True):
        assert torch.equal(whole, torch.cat([left, right]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 21}, "batch size 21 is larger than the set of 20 images"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"batch_size": 5, "world": 2}, "5 cannot be shared equally by 2 .* a multiple of 2"),
        ({"batch_size": 4, "rank": 2, "world": 2}, "rank 2 is out of range; there are 2"),
        ({"batch_size": 4, "rank": -1}, "rank -1 is out of range"),
        ({"batch_size": 4, "start": 6}, "start 6 is out of range; an epoch has 5 steps"),
        ({"batch_size": 4, "start": -1}, "start -1 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        order.train_batches(Recorder(20), seed=0, epoch=0, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size is 0"),
        ({"batch_size": 4, "rank": 3, "world": 3}, "rank 3 is out of range"),
    ],
)
def test_a_test_that_cannot_be_is_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        order.test_batches(Recorder(20), **options)


def test_a_test_takes_batches_larger_than_the_set() -> None:
    ((_, labels, indices),) = order.test_batches(Recorder(3), batch_size=500)
    assert indices.tolist() == [0, 1, 2]
    assert labels.tolist() == [0, 2, 4]
