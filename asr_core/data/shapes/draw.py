"""Draws the pictures of ``shapes``, with the same bytes on every machine.

numpy's +, -, ×, / and √ of an element are the same everywhere; its sums and its sines are not. So
sums are of whole numbers here, and turns are rational.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_core.data.shapes.factors import Array, Chance, Cut, Paint, Pose
from asr_core.data.shapes.figures import CLASSES, segments
from asr_core.data.shapes.textures import SHRINKS, Pixels, textures

THREADS = 2
LARGEST_GAIN = 3.0
"""Of a texture's contrast: noise in a clear sky stays small."""
_AT_ONCE = 1 << 18  # pixels, so that what is at hand stays in the cache

Layer = NDArray[np.float32]


def draw(
    count: int, size: int, *, seed: int, photographs: tuple[str, ...]
) -> tuple[Pixels, NDArray[np.int64]]:
    """Draw pictures, the classes by turns.

    Equal seeds give the same pictures at both sizes, up to what a pixel shows.

    Args:
        count: how many pictures.
        size: H = W in pixels, 32 or 96.
        seed: of all that is drawn by chance.
        photographs: names of the photographs that fill figure and ground.

    Returns:
        Pictures, uint8 (count, 3, size, size), and labels, int64 (count,).
    """
    chance = Chance(seed, count)
    pose, paint = Pose.drawn(chance), Paint.drawn(chance)
    cuts = [Cut.drawn(chance, len(photographs), len(SHRINKS)) for _ in ("figure", "ground")]
    stock = textures(photographs, size)
    images = np.empty((count, 3, size, size), np.uint8)

    def fill(part: NDArray[np.intp]) -> None:
        inside = mask(segments(CLASSES[part[0] % len(CLASSES)]), pose[part], size)
        sides = [crops(stock, cut[part], size) for cut in cuts]
        images[part] = composed(inside, sides, paint[part])

    step = len(CLASSES) * max(1, _AT_ONCE // size**2)
    parts = [
        np.arange(first, min(count, start + step), len(CLASSES))
        for start in range(0, count, step)
        for first in range(start, min(count, start + len(CLASSES)))
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fill, parts))
    return images, np.arange(count) % len(CLASSES)


def mask(pieces: Array, pose: Pose, size: int) -> Layer:
    """How much of each pixel is in the figure of ``pieces`` (S, 2, 2), from 0 to 1: (n, H, W)."""
    x, y = pose.placed(pieces, size)
    grid = np.arange(size) + 0.5
    nearest = np.full((len(x), size, size), np.inf, np.float32)
    for piece in range(len(pieces)):
        (x0, x1), (y0, y1) = x[:, piece].T[..., None], y[:, piece].T[..., None]
        dx, dy, px, py = x1 - x0, y1 - y0, grid - x0, grid - y0
        squared = dx * dx + dy * dy
        # where on the piece the nearest point of each pixel lies, from 0 to 1
        at = _row(px * (dx / squared)) + _column(py * (dy / squared))
        np.clip(at, 0, 1, out=at)
        across = _row(px) - at * _row(dx)
        across *= across
        at *= _row(dy)
        np.subtract(_column(py), at, out=at)
        at *= at
        at += across
        np.minimum(nearest, at, out=nearest)
    np.sqrt(nearest, out=nearest)
    np.subtract(_row(size * pose.radius[:, None] + 0.5), nearest, out=nearest)
    return np.clip(nearest, 0, 1, out=nearest)


def crops(stock: list[list[Pixels]], cut: Cut, size: int) -> Pixels:
    """Square pieces of the pictures in ``stock``, uint8 (n, 3, size, size)."""
    found = np.empty((len(cut.photograph), 3, size, size), np.uint8)
    for place, photograph in enumerate(cut.photograph):
        picture = stock[photograph][cut.shrink[place]]
        row = int(cut.down[place] * (picture.shape[1] - size + 1))
        column = int(cut.across[place] * (picture.shape[2] - size + 1))
        crop = picture[:, row : row + size, column : column + size]
        found[place] = crop[..., ::-1] if cut.flip[place] else crop
    return found


def composed(inside: Layer, sides: list[Pixels], paint: Paint) -> Pixels:
    """Figure on ground in one light, uint8 (n, 3, H, W).

    Args:
        inside: how much of each pixel is the figure's, (n, H, W).
        sides: the textures of figure and ground, each uint8 (n, 3, H, W).
        paint: their colours and contrasts, and the light.
    """
    n, _, size, _ = sides[0].shape
    axis = (2 * np.arange(size) + 1) / size - 1
    light = _row(paint.light_across[:, None] * axis) + _column(paint.light_down[:, None] * axis)
    light += np.float32(1)
    gains, shifts = zip(*map(_tint, sides, paint.colours, paint.contrasts), strict=True)
    out = np.empty((n, 3, size, size), np.uint8)
    for channel in range(3):
        figure, ground = (
            side[:, channel] * _row(gain[:, None]) + _row(shift[:, channel, None])
            for side, gain, shift in zip(sides, gains, shifts, strict=True)
        )
        figure -= ground
        figure *= inside
        figure += ground
        figure *= light
        np.rint(figure, out=figure)
        out[:, channel] = np.clip(figure, 0, 255, out=figure)
    return out


def _tint(side: Pixels, colour: Array, contrast: Array) -> tuple[Array, Array]:
    """Factor (n,) and summand (n, 3) that give a texture its mean and its root mean square."""
    values = side.astype(np.int32)
    pixels = side.shape[2] * side.shape[3]
    mean = values.sum((2, 3), dtype=np.int64) / pixels
    variance = (values * values).sum((2, 3), dtype=np.int64) / pixels - mean * mean
    red, green, blue = variance.T
    rms = np.sqrt((red + green + blue) / 3)
    gain = np.minimum(contrast / np.maximum(rms, 1), LARGEST_GAIN)
    return gain, colour - gain[:, None] * mean


def _row(values: Any) -> Layer:
    """(n, W) -> (n, 1, W)."""
    return np.asarray(values, np.float32)[:, None, :]


def _column(values: Any) -> Layer:
    """(n, H) -> (n, H, 1)."""
    return np.asarray(values, np.float32)[:, :, None]
