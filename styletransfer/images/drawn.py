"""Style images drawn by code: equal seeds give equal pictures, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree
from torch import Tensor

from asr_core import limits
from asr_core.registry import Registry

STYLE_SIZE = 512
"""Side in pixels at which strokes have the size that the networks are trained for."""

_SUPERSAMPLING = 2
_FIELD = 64
"""Side at which smooth fields are made."""

STYLES: Registry[Callable[[int, np.random.Generator], Image.Image]] = Registry("style")
"""Drawing functions ``(side, generator) -> PIL image`` by name."""

STYLE_WEIGHTS = {"mosaic": 0.7, "waves": 1.0, "hatching": 0.7, "points": 0.5}
"""The weight of the style loss for each, chosen on validation pictures.

By the rule of docs/results/style-training.md.
"""


def draw_style(name: str, *, size: int = STYLE_SIZE, seed: int = 0) -> Tensor:
    """Draw the style image ``name``, (3, size, size) in [0, 1]; its strokes scale with ``size``.

    Raises:
        InputError: the name is unknown (the known ones are listed), or ``size`` is out of range.
    """
    limits.whole("style size", size, 64, limits.SIDE)
    pixels = _drawn(STYLES[name], size, seed).astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=8)  # half a second each, and an attack on several networks asks for it again
def _drawn(
    draw: Callable[[int, np.random.Generator], Image.Image], size: int, seed: int
) -> NDArray[np.uint8]:
    large = draw(size * _SUPERSAMPLING, np.random.default_rng(seed))
    return np.asarray(large.resize((size, size), Image.Resampling.LANCZOS))


@STYLES.register("mosaic")
def mosaic(side: int, generator: np.random.Generator) -> Image.Image:
    """Tiles: Voronoi cells in saturated colours between dark grout."""
    palette = np.array(
        [
            (196, 30, 34), (23, 63, 148), (240, 168, 32), (30, 120, 70), (222, 96, 28),
            (38, 140, 170), (236, 222, 178), (70, 28, 92), (120, 176, 60), (16, 34, 84),
        ]
    )  # fmt: skip
    tiles = 700
    centres = generator.uniform(0, side, (tiles, 2))
    for _ in range(3):  # Lloyd's relaxation: tiles of like size
        samples = generator.uniform(0, side, (tiles * 40, 2))
        owner = cKDTree(centres).query(samples)[1]
        counts = np.bincount(owner, minlength=tiles)[:, None].clip(1)
        centres = np.stack([np.bincount(owner, samples[:, k], tiles) for k in (0, 1)], 1) / counts
    grid = np.indices((side, side)).transpose(1, 2, 0)
    distance, nearest = cKDTree(centres).query(grid.reshape(-1, 2), k=2)
    owner = nearest[:, 0].reshape(side, side)
    edge = (distance[:, 1] - distance[:, 0]).reshape(side, side)
    colours = palette[generator.integers(0, len(palette), tiles)] * generator.uniform(
        0.8, 1.15, (tiles, 1)
    )
    towards_light = (grid - centres[owner]) @ np.array([-1.0, -1.0])
    shade = 1 + 0.25 * towards_light[..., None] / (side / np.sqrt(tiles))
    tile = np.clip(edge / (side * 0.0034) - 1, 0, 1)[..., None]
    pixels = colours[owner] * shade * tile + np.array([18, 16, 22]) * (1 - tile)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@STYLES.register("waves")
def waves(side: int, generator: np.random.Generator) -> Image.Image:
    """Brush strokes that follow a swirling field, blues with gold and cream."""
    palette = np.array(
        [
            (14, 28, 78), (24, 52, 122), (38, 86, 166), (66, 128, 196), (120, 176, 220),
            (236, 226, 196), (244, 182, 58), (226, 118, 44), (34, 104, 112),
        ]
    )  # fmt: skip
    weights = np.array([3, 4, 4, 3, 2, 1.2, 1.3, 0.7, 1.5])
    slope_y, slope_x = np.gradient(_field(side, generator, smoothness=0.08))
    angle = np.arctan2(-slope_x, slope_y)
    tone = _field(side, generator, smoothness=0.03)
    image = Image.new("RGB", (side, side), tuple(palette[0].tolist()))
    draw = ImageDraw.Draw(image)
    step = side / 110
    for _ in range(6500):
        x, y = generator.uniform(-0.05, 1.05, 2) * side
        at = tone[int(y) % side, int(x) % side]
        bias = np.exp(-((np.arange(len(palette)) / (len(palette) - 1) - at) ** 2) / 0.06)
        chosen = weights * (0.25 + bias)
        colour = palette[generator.choice(len(palette), p=chosen / chosen.sum())]
        colour = colour * generator.uniform(0.85, 1.15)
        path = [(x, y)]
        for _ in range(int(generator.integers(4, 10))):
            turn = angle[int(y) % side, int(x) % side]
            x, y = x + step * np.cos(turn), y + step * np.sin(turn)
            path.append((x, y))
        width = max(1, round(side * generator.uniform(0.007, 0.015)))
        draw.line(path, fill=_rgb(colour), width=width, joint="curve")
    return image


@STYLES.register("hatching")
def hatching(side: int, generator: np.random.Generator) -> Image.Image:
    """Pen on cream paper: patches of parallel strokes in all directions, dense in the dark."""
    image = Image.new("RGB", (side, side), (244, 234, 212))
    draw = ImageDraw.Draw(image)
    darkness = _field(side, generator, smoothness=0.05)
    turn = _field(side, generator, smoothness=0.06) * 4 * np.pi
    for _ in range(1150):
        at = generator.uniform(0, side, 2)
        x, y = at.astype(int)
        dark = ((darkness[y, x] - 0.2) / 0.6).clip(0, 1)
        if generator.uniform() > dark:
            continue
        crossing = generator.uniform() < dark**2
        angle = turn[y, x] + generator.normal(0, 0.15) + (np.pi / 2.6 if crossing else 0)
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        spacing = side * generator.uniform(0.013, 0.019)
        for line in range(int(generator.integers(3, 7))):
            middle = at + across * (line - 2) * spacing + generator.normal(0, spacing / 5, 2)
            half = along * side * generator.uniform(0.018, 0.034)
            bow = across * generator.normal(0, spacing / 4)
            path = [tuple((middle + end).tolist()) for end in (-half, bow, half)]
            width = max(1, round(side * generator.uniform(0.003, 0.006)))
            draw.line(path, fill=(34, 26, 36), width=width, joint="curve")
    return image


@STYLES.register("points")
def points(side: int, generator: np.random.Generator) -> Image.Image:
    """Pointillism: dots of pure colours, from deep blue in the shade to cream in the light."""
    shades = [
        [(24, 26, 74), (44, 34, 96), (20, 58, 92), (70, 30, 80)],
        [(36, 84, 168), (120, 52, 140), (22, 112, 110), (168, 44, 70)],
        [(206, 60, 44), (52, 144, 86), (232, 120, 36), (70, 140, 200)],
        [(246, 188, 58), (150, 194, 84), (240, 150, 150), (140, 200, 226)],
        [(252, 240, 206), (250, 224, 128), (226, 240, 214), (252, 214, 196)],
    ]
    image = Image.new("RGB", (side, side), (12, 14, 40))
    draw = ImageDraw.Draw(image)
    light = _field(side, generator, smoothness=0.05)
    kind = _field(side, generator, smoothness=0.06)
    for _ in range(9000):
        x, y = generator.uniform(0, side, 2)
        radius = side * generator.uniform(0.007, 0.0125)
        at = light[int(y), int(x)] + generator.normal(0, 0.07)
        shade = shades[int(np.clip(at * 1.4 - 0.2, 0, 0.999) * len(shades))]
        turn = kind[int(y), int(x)] + generator.normal(0, 0.12)
        colour = np.array(shade[int(turn * len(shade)) % len(shade)]) * generator.uniform(0.9, 1.1)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_rgb(colour))
    return image


def _field(side: int, generator: np.random.Generator, *, smoothness: float) -> NDArray[np.float64]:
    """Smooth noise from 0 to 1, (side, side); ``smoothness`` is a share of the side."""
    values = generator.normal(size=(_FIELD, _FIELD))
    values = gaussian_filter(values, smoothness * _FIELD, mode="wrap")
    values = zoom(values, side / _FIELD, order=3, mode="grid-wrap", grid_mode=True)
    return (values - values.min()) / (values.max() - values.min())


def _rgb(colour: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(colour.clip(0, 255).astype(int).tolist())
