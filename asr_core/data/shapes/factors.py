"""What is drawn by chance for a picture of ``shapes``: every factor but its class.

All fields are arrays whose first axis is the picture; lengths are in parts of the picture's side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

FACTORS = 32
"""Numbers that a picture takes from its row of chance, at most."""

LENGTH = 1.2, 1.7
"""Of all strokes together."""
WIDTH = 0.06, 0.1
"""Of a stroke."""
TURN = 0.16
"""Tangent of half the largest angle, to either side: 18°."""
STRETCH, SHEAR = 0.15, 0.25
"""Largest: of width against height, and of the upper edge against the lower."""
CONTRAST = 12.0, 96.0
"""Of figure and ground, before their colours: grey levels of 255, up or down."""
MIDDLE = 85.0, 170.0
"""Grey level between figure and ground."""
COLOUR = 30.0
"""Largest change of a channel, of both together; of one against the other, half of it."""
TEXTURE = 4.0, 28.0
"""Root mean square of a texture, in grey levels."""
LIGHT = 0.3
"""Largest change of the light from the middle to an edge."""


class Chance:
    """Uniform numbers, a row a picture: each call takes the next column.

    They are the raw output of PCG64, which numpy keeps the same in all versions.
    """

    def __init__(self, seed: int, count: int) -> None:
        raw = np.random.PCG64(seed).random_raw(count * FACTORS) >> np.uint64(11)
        self._columns = iter((raw.astype(np.float64) / 2.0**53).reshape(count, FACTORS).T)

    def uniform(self, low: float, high: float) -> Array:
        """Numbers in [``low``, ``high``)."""
        return low + (high - low) * next(self._columns)

    def around(self, middle: float, most: float) -> Array:
        """Numbers at most ``most`` from ``middle``."""
        return self.uniform(middle - most, middle + most)

    def below(self, count: int) -> Whole:
        """Whole numbers below ``count``."""
        return self.uniform(0, count).astype(np.int64)


@dataclass(frozen=True)
class Rows:
    """Arrays of one length, together indexed."""

    def __getitem__(self, rows: NDArray[np.intp]) -> Self:
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{name: _taken(value, rows) for name, value in own.items()})


def _taken(value: Any, rows: NDArray[np.intp]) -> Any:
    return tuple(each[rows] for each in value) if isinstance(value, tuple) else value[rows]


@dataclass(frozen=True)
class Pose(Rows):
    """Where the figure is, and how large.

    Attributes:
        matrix: from the frame of :func:`.figures.segments` to the picture: (N, 2, 2).
        across: from 0, at the left, to 1, of the places where the figure is whole.
        down: the same from the top.
        radius: half the width of a stroke.
    """

    matrix: Array
    across: Array
    down: Array
    radius: Array

    @classmethod
    def drawn(cls, chance: Chance) -> Self:
        """Mirrored or not, then stretched, sheared and turned."""
        half = chance.around(0, TURN)
        cos, sin = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
        length = chance.uniform(*LENGTH)
        stretch, shear = chance.around(0, STRETCH), chance.around(0, SHEAR)
        wide = length * (1 + stretch) * (2 * chance.below(2) - 1)
        lean, high = length * shear, length * (1 - stretch)
        rows = (cos * wide, cos * lean - sin * high), (sin * wide, sin * lean + cos * high)
        return cls(
            matrix=np.stack([np.stack(row, 1) for row in rows], 1),
            across=chance.uniform(0, 1),
            down=chance.uniform(0, 1),
            radius=chance.uniform(*WIDTH) / 2,
        )

    def placed(self, pieces: Array, size: int) -> tuple[Array, Array]:
        """The ends of ``pieces`` (S, 2, 2) in a picture, in pixels: x and y, each (N, S, 2)."""
        found = []
        for row, part in ((0, self.across), (1, self.down)):
            a, b = self.matrix[:, row].T[..., None, None]
            ends = size * (a * pieces[..., 0] + b * pieces[..., 1])
            least, most = ends.min((1, 2)), ends.max((1, 2))
            room = size - (most - least) - 2 * size * self.radius
            # if it is larger than the picture, it is cut on both sides
            start = size * self.radius + np.where(room > 0, part, 0.5) * room
            found.append(ends + (start - least)[:, None, None])
        return found[0], found[1]


@dataclass(frozen=True)
class Cut(Rows):
    """Which piece of which photograph is a texture: numbers, and places from 0 to 1."""

    photograph: Whole
    shrink: Whole
    across: Array
    down: Array
    flip: Whole

    @classmethod
    def drawn(cls, chance: Chance, photographs: int, shrinks: int) -> Self:
        """A photograph, how much smaller it is made, where it is cut, and whether mirrored."""
        return cls(
            chance.below(photographs),
            chance.below(shrinks),
            chance.uniform(0, 1),
            chance.uniform(0, 1),
            chance.below(2),
        )


@dataclass(frozen=True)
class Paint(Rows):
    """Colours of figure and ground, (N, 3), their textures' contrast, and the light.

    The light is 1 in the middle, and changes by ``light_across`` towards the right edge and by
    ``light_down`` towards the lower one.
    """

    colours: tuple[Array, Array]
    contrasts: tuple[Array, Array]
    light_across: Array
    light_down: Array

    @classmethod
    def drawn(cls, chance: Chance) -> Self:
        """Figure and ground lie on both sides of one colour; which is brighter is chance."""
        apart = chance.uniform(*CONTRAST) * (2 * chance.below(2) - 1)
        middle = chance.uniform(*MIDDLE)
        both = np.stack([middle + chance.around(0, COLOUR) for _ in range(3)], 1)
        half = np.stack([apart + chance.around(0, COLOUR / 2) for _ in range(3)], 1) / 2
        return cls(
            colours=(both + half, both - half),
            contrasts=(chance.uniform(*TEXTURE), chance.uniform(*TEXTURE)),
            light_across=chance.around(0, LIGHT),
            light_down=chance.around(0, LIGHT),
        )
