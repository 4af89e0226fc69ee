"""One image file to pixels: every kind that Pillow reads, and a plain reason for those it cannot.

Greyscale, palette, CMYK and 1-bit images become RGB, transparency is laid on white, the EXIF
orientation is applied, 16-bit greyscale keeps its depth, of an animation the first frame is taken.
"""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from asr_core.errors import InputError

Note = Callable[[Path, str], None]

_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_pillow_limit = threading.Lock()


class ImageError(InputError):
    """An image that cannot be used.

    Attributes:
        path: the file.
        reason: the message without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def check(path: Path, *, max_pixels: int, min_side: int) -> None:
    """Read no more than the header: does the file hold an image within the limits?

    Raises:
        ImageError: it does not.
    """
    with _opened(path, max_pixels, min_side):
        pass


def decode(
    path: Path, *, max_pixels: int, min_side: int, on_note: Note | None = None
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """The pixels of an image.

    Args:
        path: the file.
        max_pixels: the largest width × height, checked before anything is decoded.
        min_side: the smallest width and height.
        on_note: called with the path and a remark when part of the file is left out (an animation).

    Returns:
        uint8 (H, W, 3), or float32 (H, W) in [0, 1] for greyscale of more than 8 bits.

    Raises:
        ImageError: missing, empty, not an image, damaged, or outside the limits.
    """
    with _opened(path, max_pixels, min_side) as image:
        if getattr(image, "is_animated", False) and on_note is not None:
            on_note(path, f"has {getattr(image, 'n_frames', 'several')} frames; the first is used")
        return _pixels(path, ImageOps.exif_transpose(image))


@contextlib.contextmanager
def _opened(path: Path, max_pixels: int, min_side: int) -> Iterator[Image.Image]:
    """Open ``path`` and check its header; whatever goes wrong in the block is an ImageError."""
    try:
        if path.exists() and not path.is_file():
            raise ImageError(path, "is a folder" if path.is_dir() else "is not a regular file")
        with path.open("rb") as file, _pixel_limit(max_pixels), _identified(path, file) as image:
            width, height = image.size
            if min(width, height) < min_side:
                raise ImageError(
                    path, f"is {width}×{height} pixels; each side must be at least {min_side}"
                )
            if image.format == "EPS":  # to decode it Pillow would run an interpreter on the file
                raise ImageError(path, "is PostScript, not a photograph; convert it to PNG")
            yield image
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except PermissionError:
        raise ImageError(path, "no permission to read it") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(path, _too_large(error, max_pixels)) from None
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(path, f"is damaged or cut short ({text})") from error


@contextlib.contextmanager
def _pixel_limit(limit: int) -> Iterator[None]:
    """Hold Pillow to ``limit`` in place of its own: what only warned is an error here.

    Pillow's own check is used, as it also sees images nested in others (icons) before they are
    decoded. Its limit is a global, hence the lock and the way back.
    """
    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd EXIF data help nobody
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _identified(path: Path, file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(1024).removeprefix(b"\xef\xbb\xbf")
        if not start:
            reason = "is empty (0 bytes)"
        elif _HTML.match(start):
            reason = "looks like an HTML page, not an image; was the download an error page?"
        else:
            reason = "is not an image of a known format, or its header is damaged"
        raise ImageError(path, reason) from None


def _too_large(error: Exception, max_pixels: int) -> str:
    count = re.search(r"(\d+) pixels", str(error))
    has = f"{int(count[1]):,}" if count else "more"
    return (
        f"has {has} pixels, over the limit of {max_pixels:,}; "
        "shrink it or raise the limit (--max-pixels)"
    )


def _pixels(path: Path, image: Image.Image) -> NDArray[np.uint8] | NDArray[np.float32]:
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep(path, np.array(image), integer=image.mode != "F")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _deep(path: Path, values: NDArray[np.generic], *, integer: bool) -> NDArray[np.float32]:
    """Greyscale of 16 bits (0 to 65535) or float ([0, 1]) as float32 in [0, 1].

    Other ranges are refused: guessing the scale would give a black or a white picture in silence.
    """
    top = 65535 if integer else 1
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # NaN fails both
        kind = "an integer" if integer else "a float"
        raise ImageError(
            path, f"is {kind} image with values from {low} to {high}; expected 0 to {top}"
        )
    return (values.astype(np.float64) / top).astype(np.float32)
