"""Companions: the images that share a batch, and so its statistics, with those under test.

They come from a pool, are made of noise, or are the other images under test, dealt by chance. In
training they are foreign images (:mod:`robust.norm_noise.foreign`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from asr_core.draws import Key, check_seed, generator
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.norm_noise.severity import COMPANIONS

Join = Callable[[Tensor], tuple[Tensor, slice]]
"""``join(images)``: a batch with companions, and which part of it the images are."""


@contextlib.contextmanager
def joined(model: nn.Module, join: Join, *, head: nn.Module | None = None) -> Iterator[None]:
    """Each forward of ``model`` also sees companions; the outputs of its own images come back.

    Args:
        model: images (N, 3, H, W) -> outputs (N, ...).
        join: makes the batch of a forward.
        head: a part of ``model``, called once with one tensor (N, ...), behind which images don't
            meet: companions leave before it. None for a model whose last layers are not known.
    """

    def widen(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        (images,) = inputs
        batch, own = join(images)
        owns.append(own)
        if images.is_contiguous(memory_format=torch.channels_last):
            batch = batch.contiguous(memory_format=torch.channels_last)
        return (batch,)

    def narrow(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output[owns.pop()]

    def narrow_before(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0][owns.pop()]

    owns: list[slice] = []
    with contextlib.ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(widen).remove)
        if head is None:
            stack.callback(model.register_forward_hook(narrow, prepend=True).remove)
        else:
            stack.callback(head.register_forward_pre_hook(narrow_before).remove)
        yield


def draw_companions(
    pool: Tensor, count: int, *, seed: int, image_key: Key, draw: int, kind: str = "photos"
) -> Tensor:
    """The companions of the image ``image_key`` in one draw.

    Args:
        pool: (P, 3, H, W), photographs without the image itself.
        count: how many companions.
        seed: of the draws; equal seed, key and draw give equal companions on any device.
        image_key: the name or number of the image under test.
        draw: the index of the draw.
        kind: "photos" takes ``count`` different images of the pool; "noise" makes images of
            independent U(0, 1) pixels of the pool's size.

    Returns:
        (count, 3, H, W), of the pool's dtype and device.

    Raises:
        InputError: the pool is no batch of images or too small, or an unknown kind.
    """
    if kind not in COMPANIONS:
        raise unknown_name("kind of companions", kind, list(COMPANIONS))
    if pool.dim() != 4:
        raise InputError(f"the pool has shape {tuple(pool.shape)}. Expected (P, 3, H, W)")
    chance = generator("companions", kind, check_seed(seed), image_key, draw)
    if kind == "noise":
        return torch.rand(count, *pool.shape[1:], generator=chance).to(pool)
    if count > len(pool):
        raise InputError(
            f"{count} companions cannot be drawn from a pool of {len(pool)}: "
            "give more photographs or a smaller batch"
        )
    return pool[torch.randperm(len(pool), generator=chance)[:count].to(pool.device)]


def deal(
    count: int,
    size: int,
    batch_size: int,
    *,
    seed: int,
    draw: int,
    labels: Tensor | None = None,
    run: int | None = None,
) -> list[Tensor]:
    """``count`` images dealt into groups of ``size``, each the others' companions.

    Args:
        count: images of the split.
        size: of a group.
        batch_size: images at a time, rounded down to whole groups, at least one.
        seed: of the draws; with ``draw`` and ``size`` it decides the groups.
        draw: index of the draw.
        labels: classes of the images, int64 (count,): they come in runs of one class. None for an
            order by chance.
        run: images of a class in a row, the runs in an order by chance; None for all of it.

    Returns:
        Batches of whole groups, as indices int64. Where ``count`` is no multiple of ``size`` the
        first images come again, to fill the last group.

    Raises:
        InputError: a group is larger than the split.
    """
    if size > count:
        raise InputError(f"a batch of {size} cannot be drawn from {count} images; take a smaller n")
    chance = generator("groups", seed, size, draw)
    order = torch.randperm(count, generator=chance)
    if labels is not None:
        order = _in_runs(order, labels, run, chance)
    filled = torch.cat([order, order[: -count % size]])
    return list(filled.split(max(1, batch_size // size) * size))


def _in_runs(order: Tensor, labels: Tensor, run: int | None, chance: torch.Generator) -> Tensor:
    """``order`` with images of one class in a row, class by class or ``run`` at a time."""
    runs: list[Tensor] = []
    for label in labels.unique():
        own = order[labels[order] == label]
        runs += own.split(len(own) if run is None else run)
    return torch.cat([runs[i] for i in torch.randperm(len(runs), generator=chance)])
