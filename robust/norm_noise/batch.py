"""Batch noise: an image shares its batch, and so its statistics, with companions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.registry import unknown_name
from robust.norm_noise.attack import attack
from robust.norm_noise.draws import Key, check_seed, generator
from robust.norm_noise.layers import require_norm_layers
from robust.norm_noise.severity import COMPANIONS, BatchNoise, Severity
from robust.norm_noise.statistics import batch_statistics


def companions(
    pool: Tensor, count: int, *, seed: int, image_key: Key, draw: int, kind: str = "photos"
) -> Tensor:
    """The images that share a batch with the image ``image_key`` in one draw.

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


def run_in_batch(model: nn.Module, image: Tensor, mates: Tensor) -> Tensor:
    """``model``'s output for ``image`` (1, 3, H, W) in one batch with ``mates`` (n-1, 3, H, W).

    The norm layers must use the batch's statistics: call it under :func:`batch_statistics` or
    :func:`attack` with a :class:`BatchNoise`. The image goes first and its output alone, (1, ...),
    comes back.

    Raises:
        InputError: ``image`` is not one image, or ``mates`` has another size.
    """
    if image.dim() != 4 or len(image) != 1 or mates.shape[1:] != image.shape[1:]:
        raise InputError(
            f"an image of shape {tuple(image.shape)} cannot share a batch with companions of shape "
            f"{tuple(mates.shape)}. Expected (1, 3, H, W) and (n-1, 3, H, W)"
        )
    output: Tensor = model(torch.cat([image, mates]))
    return output[:1]


def run_under(
    model: nn.Module,
    images: Tensor,
    severity: Severity,
    *,
    seed: int,
    keys: Sequence[Key],
    draw: int,
    pool: Tensor | None = None,
    granularity: str = "layer",
) -> Tensor:
    """``model``'s outputs for ``images`` under any noise: one draw of it, whatever the batching.

    Batch noise runs each image in a batch of its own with its companions, so that memory holds one
    such batch and the outputs; the other noises run all the images in one forward.

    Args:
        model: the network, in the mode in which it is to be tested.
        images: (N, 3, H, W) in [0, 1].
        severity: the noise and its strength.
        seed: of the draws.
        keys: one name or number per image, which its draws follow.
        draw: the index of the draw, 0, 1, 2, ...
        pool: (P, 3, H, W), where batch noise takes its companions.
        granularity: of random noise; batch noise has none.

    Returns:
        (N, ...), each image's output.

    Raises:
        InputError: keys and images differ in number, no norm layer, or batch noise has no pool;
            and all of :func:`attack` and :func:`companions`.
    """
    if len(keys) != len(images):
        raise InputError(f"{len(keys)} keys for {len(images)} images: give one key per image")
    if not isinstance(severity, BatchNoise):
        with attack(model, severity, seed=seed, granularity=granularity) as noise:
            noise.pin(draw=draw, samples=keys)
            output: Tensor = model(images)
        return output
    require_norm_layers(model)  # none would pass for robustness
    if pool is None:
        if severity.size > 1:
            raise InputError(f"batch noise {severity.text} needs a pool of companions: give pool=")
        pool = images[:0]
    with batch_statistics(model):
        return torch.cat(
            [
                run_in_batch(
                    model,
                    image[None],
                    companions(
                        pool,
                        severity.size - 1,
                        seed=seed,
                        image_key=key,
                        draw=draw,
                        kind=severity.companions,
                    ),
                )
                for image, key in zip(images, keys, strict=True)
            ]
        )
