"""A style by name or file, one rule for all."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from asr_core import limits
from asr_core.errors import InputError
from styletransfer.images.drawn import STYLE_SIZE, STYLES, draw_style
from styletransfer.images.read import read_image


def style_side(stroke_size: float) -> int:
    """Pixels of a style picture's shorter side, whose strokes are ``stroke_size`` times as large.

    Networks and losses see strokes as large as they are in the picture.

    Raises:
        InputError: it is out of its range.
    """
    least, most = limits.STROKE_SIZES
    if not least <= stroke_size <= most:
        raise InputError(f"stroke size is {stroke_size}; it must be from {least} to {most}")
    return round(STYLE_SIZE * stroke_size)


def style_image(name_or_path: str, *, size: int = STYLE_SIZE) -> tuple[str, Tensor]:
    """The style ``name_or_path`` as (name, (3, H, W) in [0, 1]), its shorter side ``size``.

    A known name is drawn by code. Anything else is read as a file and named by its stem, or by its
    whole name where the stem is the name of a drawn style.

    Raises:
        InputError: neither a known name nor a readable image.
    """
    if name_or_path in STYLES:
        return name_or_path, draw_style(name_or_path, size=size)
    path = Path(name_or_path)
    if not path.exists():
        known = ", ".join(STYLES.names())
        raise InputError(f"style {name_or_path!r} is no file and no known name. Known: {known}")
    name = path.name if path.stem in STYLES else path.stem
    return name, read_image(path, size=size)
