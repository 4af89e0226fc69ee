"""Style images drawn by code: equal seeds give equal pictures, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from torch import Tensor

from asr_core.errors import InputError
from asr_core.registry import Registry

_SUPERSAMPLING = 3

STYLES: Registry[Callable[[int, np.random.Generator], Image.Image]] = Registry("style")
"""Drawing functions ``(side, generator) -> PIL image`` by name."""


def draw_style(name: str, *, size: int = 256, seed: int = 0) -> Tensor:
    """Draw the style image ``name``, (3, size, size) in [0, 1].

    Raises:
        InputError: the name is unknown (the known ones are listed), or ``size`` is below 64.
    """
    if size < 64:
        raise InputError(f"style size {size} is too small; use at least 64 pixels")
    draw = STYLES[name]
    large = draw(size * _SUPERSAMPLING, np.random.default_rng(seed))
    pixels = np.asarray(large.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1).contiguous()


@STYLES.register("mosaic")
def mosaic(side: int, generator: np.random.Generator) -> Image.Image:
    """Stained glass: Voronoi cells in saturated colours between dark leads."""
    palette = np.array(
        [
            (196, 30, 34), (23, 63, 148), (240, 168, 32), (30, 120, 70), (222, 96, 28),
            (38, 140, 170), (236, 222, 178), (70, 28, 92), (120, 176, 60), (16, 34, 84),
        ]
    )  # fmt: skip
    cells = 150
    points = generator.uniform(0, side, (cells, 2))
    for _ in range(2):  # Lloyd's relaxation: tiles of like size
        samples = generator.uniform(0, side, (cells * 60, 2))
        owner = cKDTree(points).query(samples)[1]
        counts = np.bincount(owner, minlength=cells)[:, None].clip(1)
        points = np.stack([np.bincount(owner, samples[:, k], cells) for k in (0, 1)], 1) / counts
    rows, columns = np.mgrid[0:side, 0:side]
    distance, nearest = cKDTree(points).query(np.stack([rows, columns], -1).reshape(-1, 2), k=2)
    owner = nearest[:, 0].reshape(side, side)
    edge = (distance[:, 1] - distance[:, 0]).reshape(side, side)
    colours = palette[generator.integers(0, len(palette), cells)] * generator.uniform(
        0.8, 1.15, (cells, 1)
    )
    offset = np.stack([rows, columns], -1) - points[owner]
    shade = 1 + 0.5 * (offset @ np.array([-1.0, -1.0]))[..., None] / (side / np.sqrt(cells)) / 2
    lead = np.clip(edge / (side * 0.0045) - 1.2, 0, 1)[..., None]
    pixels = colours[owner] * shade * lead + np.array([18, 16, 22]) * (1 - lead)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@STYLES.register("waves")
def waves(side: int, generator: np.random.Generator) -> Image.Image:
    """Brush strokes that follow a swirling field, blues with gold and cream."""
    palette = [
        (14, 28, 78), (24, 52, 122), (38, 86, 166), (66, 128, 196), (120, 176, 220),
        (236, 226, 196), (244, 182, 58), (226, 118, 44), (34, 104, 112),
    ]  # fmt: skip
    weights = np.array([3, 4, 4, 3, 2, 1.2, 1.3, 0.7, 1.5])
    potential = gaussian_filter(generator.normal(size=(side, side)), side / 9, mode="wrap")
    slope_y, slope_x = np.gradient(potential)
    angle = np.arctan2(-slope_x, slope_y)
    tone = gaussian_filter(generator.normal(size=(side, side)), side / 30, mode="wrap")
    tone = (tone - tone.min()) / (tone.max() - tone.min())
    image = Image.new("RGB", (side, side), palette[0])
    draw = ImageDraw.Draw(image)
    strokes, step = 2600, side / 60
    for _ in range(strokes):
        x, y = generator.uniform(-0.05, 1.05, 2) * side
        at = tone[int(y) % side, int(x) % side]
        bias = np.exp(-((np.arange(len(palette)) / (len(palette) - 1) - at) ** 2) / 0.06)
        chosen = weights * (0.25 + bias)
        colour = np.array(palette[generator.choice(len(palette), p=chosen / chosen.sum())])
        colour = np.clip(colour * generator.uniform(0.85, 1.15), 0, 255).astype(int)
        path = [(x, y)]
        for _ in range(int(generator.integers(4, 10))):
            turn = angle[int(y) % side, int(x) % side]
            x, y = x + step * np.cos(turn), y + step * np.sin(turn)
            path.append((x, y))
        width = int(side * generator.uniform(0.012, 0.026))
        draw.line(path, fill=tuple(colour.tolist()), width=width, joint="curve")
    return image
