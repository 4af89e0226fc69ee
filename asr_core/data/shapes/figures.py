"""The 25 figures of ``shapes``: strokes of equal total length, so of equal area and outline.

A figure is a list of strokes, each a chain of points in an arbitrary frame. All are scaled to the
same length, and drawn with one width: neither area nor length of outline tells the class. No figure
is another one mirrored left to right or turned by less than 45°.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_RING = tuple((round(1000 * math.cos(k * math.pi / 8)), round(1000 * math.sin(k * math.pi / 8)))
              for k in range(17))  # fmt: skip
# Whole numbers, since cosines may differ in their last bit between machines.

_STROKES: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "corner": (((0, 0), (0, 4), (4, 4)),),
    "tee": (((0, 0), (4, 0)), ((2, 0), (2, 4))),
    "stand": (((0, 4), (4, 4)), ((2, 0), (2, 4))),
    "plus": (((0, 2), (4, 2)), ((2, 0), (2, 4))),
    "times": (((0, 0), (4, 4)), ((0, 4), (4, 0))),
    "vee": (((0, 0), (2, 4), (4, 0)),),
    "roof": (((0, 4), (2, 0), (4, 4)),),
    "zed": (((0, 0), (4, 0), (0, 4), (4, 4)),),
    "en": (((0, 4), (0, 0), (4, 4), (4, 0)),),
    "cup": (((0, 0), (0, 4), (4, 4), (4, 0)),),
    "arch": (((0, 4), (0, 0), (4, 0), (4, 4)),),
    "bracket": (((4, 0), (0, 0), (0, 4), (4, 4)),),
    "ring": (_RING,),
    "triangle": (((0, 4), (2, 0), (4, 4), (0, 4)),),
    "funnel": (((0, 0), (2, 4), (4, 0), (0, 0)),),
    "square": (((0, 0), (4, 0), (4, 4), (0, 4), (0, 0)),),
    "diamond": (((2, 0), (4, 2), (2, 4), (0, 2), (2, 0)),),
    "wye": (((0, 0), (2, 2), (4, 0)), ((2, 2), (2, 5))),
    "fork": (((0, 0), (0, 2), (4, 2), (4, 0)), ((2, 0), (2, 4))),
    "aitch": (((0, 0), (0, 4)), ((4, 0), (4, 4)), ((0, 2), (4, 2))),
    "comb": (((4, 0), (0, 0), (0, 4), (4, 4)), ((0, 2), (4, 2))),
    "up": (((0, 2), (2, 0), (4, 2)), ((2, 0), (2, 5))),
    "down": (((0, 3), (2, 5), (4, 3)), ((2, 0), (2, 5))),
    "hourglass": (((0, 0), (4, 0), (0, 4), (4, 4), (0, 0)),),
    "bow": (((0, 0), (0, 4), (4, 0), (4, 4), (0, 0)),),
}

CLASSES = tuple(_STROKES)
"""The names of the figures, in the order of their labels."""


def segments(name: str) -> NDArray[np.float64]:
    """The straight pieces of a figure: (S, 2 ends, 2), x to the right and y down.

    The middle of its box is the origin, and its strokes are together 1 long.
    """
    pieces = np.array(
        [ends for chain in _STROKES[name] for ends in pairwise(chain)],
        dtype=np.float64,
    )
    steps = pieces[:, 1] - pieces[:, 0]
    length = math.fsum(np.sqrt(steps[:, 0] ** 2 + steps[:, 1] ** 2).tolist())
    points = pieces.reshape(-1, 2)
    middle = (points.min(0) + points.max(0)) / 2
    return (pieces - middle) / length
