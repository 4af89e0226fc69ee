"""Corrupting a batch of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from asr_core.draws import Key, check_seed, generator, keys_of
from asr_core.errors import InputError
from robust.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from robust.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate
from robust.corruptions.kinds import Corruption, from_bytes, to_bytes
from robust.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from robust.corruptions.tables import strength, table_for
from robust.corruptions.weather import brightness, fog, frost, snow

KINDS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic_transform": elastic_transform,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
}
"""By their official names, in the published order."""

FIXED = frozenset(
    ["defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"]
)
"""The deterministic kinds."""

SMALLEST = 16
"""Smallest side in pixels: the widest disk must fit into half of an image and its reflection."""

_AT_ONCE = 2_000_000
"""Values processed at a time, 16 MB in double precision: memory does not grow with the batch."""


def corrupt(
    images: Tensor,
    kind: str,
    severity: int,
    *,
    indices: Tensor | Sequence[Key],
    seed: int,
    draw: int = 0,
    table: str | None = None,
) -> Tensor:
    """One of the 15 standard corruptions of images (Hendrycks and Dietterich, arXiv 1903.12261).

    An image's draws depend only on seed, kind, severity, draw and its index, whatever the batch.
    All is computed on the CPU in double precision, so that every device gets the same bits.
    Results are close to the published sets, not equal: grey levels are rounded, which the published
    generator truncates; ImageNet-C was saved as JPEG of quality 85; frost textures are drawn
    (:func:`robust.corruptions.weather.frost`).

    Args:
        images: uint8 (N, 3, H, W), 16×16 pixels or larger.
        kind: a name in :data:`KINDS`, such as "gaussian_noise".
        severity: 1, 2, 3, 4 or 5.
        indices: one whole number or name per image, which its draws follow.
        seed: of the draws.
        draw: index of the draw, where each image is corrupted several times.
        table: "32" or "224", the image side for which strengths were published; None for the nearer
            one.

    Returns:
        uint8 (N, 3, H, W), on the images' device.

    Raises:
        InputError: the dtype, shape, severity, kind or table is another one, an image has no
            index, or an index or seed is no whole number.
    """
    _check_images(images)
    figures = strength(kind, severity, table or table_for(*images.shape[2:]))
    change = KINDS[kind]
    keys, seed, draw = keys_of(indices, len(images)), check_seed(seed), check_seed(draw)
    at_once = max(1, _AT_ONCE // images[0].numel())
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), at_once):
            part = images[start : start + at_once].cpu()
            draws = [
                generator(seed, "corruption", kind, severity, draw, key)
                for key in keys[start : start + at_once]
            ]
            parts.append(to_bytes(change(from_bytes(part), figures, draws)))
    return torch.cat(parts).to(images.device)


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"images must be uint8 (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    if len(images) == 0 or min(images.shape[2:]) < SMALLEST:
        raise InputError(
            f"images {tuple(images.shape)}: expected at least one, and {SMALLEST}×{SMALLEST} "
            "pixels or more"
        )
