"""The images of a training step: a function of the seed, the epoch and the step.

There is no loader with a state to save: an epoch can start at any step, in any number of processes,
and together they see what one process would see.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from asr_core import limits
from asr_core.data.split import Split, sample_draws
from asr_core.draws import generator
from asr_core.errors import InputError


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """The number of whole batches in ``split``; a last, partial one is dropped.

    Raises:
        InputError: ``batch_size`` is below 1 or above the number of images.
    """
    limits.whole("batch size", batch_size, 1, limits.BATCH)
    if batch_size > len(split):
        raise InputError(
            f"batch size {batch_size} is larger than the set of {len(split)} images; "
            f"choose one of at most {len(split)}"
        )
    return len(split) // batch_size


def train_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The augmented batches of one epoch, from step ``start`` on, as (images, labels).

    (seed, epoch) permutes the split; (seed, epoch, step) draws the augmentation of the whole batch,
    of which each rank takes its slice. So the batches of all ranks together are those of one
    process.

    Args:
        split: the samples.
        batch_size: number of images in a step, over all ranks.
        seed: any whole number.
        epoch: counted from 0.
        start: number of steps to skip, possibly all.
        rank: rank of this process, from 0.
        world: number of processes.

    Returns:
        Images float32 (batch_size / world, 3, H, W) in [0, 1] and int64 labels, on the split's
        device.

    Raises:
        InputError: ``batch_size`` does not fit the set or is no multiple of ``world``, or
            ``start`` or ``rank`` is out of range.
    """
    steps = steps_per_epoch(split, batch_size)
    _check_rank(rank, world)
    if batch_size % world:
        raise InputError(
            f"batch size {batch_size} cannot be shared equally by {world} processes; "
            f"choose a multiple of {world}"
        )
    if not 0 <= start <= steps:
        raise InputError(f"start {start} is out of range; an epoch has {steps} steps")
    share = batch_size // world
    order = torch.randperm(len(split), generator=generator("order", seed, epoch))

    def indices(step: int) -> Tensor:
        return order[step * batch_size + rank * share :][:share]

    def requests() -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(start, steps):
            draws = sample_draws(batch_size, generator("augment", seed, epoch, step))
            yield indices(step), draws[rank * share :][:share]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for step, images in enumerate(split.train_stream(requests()), start):
            yield images, split.labels[indices(step)].to(split.device)

    return batches()


def test_batches(
    split: Split,
    *,
    batch_size: int,
    rank: int = 0,  # noqa: PT028 (its name only looks like a test's)
    world: int = 1,  # noqa: PT028
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every image once over all ranks, without augmentation, as (images, labels, indices).

    The split is cut into ``world`` parts whose lengths differ by at most one image, so the numbers
    of batches can differ by one; a rank may have none.

    Args:
        split: the samples.
        batch_size: number of images over all ranks; each takes its share, rounded up.
        rank: rank of this process, from 0.
        world: number of processes.

    Returns:
        Images float32 (n, 3, H, W) in [0, 1], int64 labels, both on the split's device, and the
        images' places in the split, int64 on the CPU.

    Raises:
        InputError: ``batch_size`` is below 1, or ``rank`` is out of range.
    """
    _check_rank(rank, world)
    limits.whole("batch size", batch_size, 1, limits.BATCH)
    mine = torch.arange(len(split)).tensor_split(world)[rank]
    parts = [part for part in mine.split(-(-batch_size // world)) if len(part)]

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for indices, images in zip(parts, split.test_stream(parts), strict=True):
            yield images, split.labels[indices].to(split.device), indices

    return batches()


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise InputError(f"rank {rank} is out of range; there are {world} processes")
