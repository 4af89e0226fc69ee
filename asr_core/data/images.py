"""One image file to pixels, or a plain reason why not.

Greyscale, palette, CMYK and 1-bit images become RGB, transparency becomes white, the EXIF
orientation is applied, 16-bit greyscale keeps its depth, and animations give their first frame.
Files are not trusted: only regular files are opened, only in formats that Pillow decodes itself,
and of no more pixels than the caller allows.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from asr_core.errors import InputError

Note = Callable[[Path, str], None]

FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded if Pillow can; not PostScript, which needs another program."""
MAX_PIXELS = 178_956_970
"""From here on Pillow itself suspects an attack."""
MAX_BYTES = 2**30
"""Largest file: some formats are read whole before they are decoded."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what makes the picture upright; from 5 on its sides are swapped."""
_ORIENTATION, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES, _SAMPLES = 274, 258, 259, 262, 284, 339
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


@contextlib.contextmanager
def opened(
    path: Path | str, *, max_pixels: int | None = None, min_side: int = 1
) -> Iterator[Image.Image]:
    """Open an image and check its header; nothing is decoded yet.

    Args:
        path: a regular file, or a link to one.
        max_pixels: the largest width × height; None for :data:`MAX_PIXELS`.
        min_side: the smallest width and height.

    Raises:
        ImageError: missing, empty, not an image, or outside the limits; or any error in the block,
            since damage shows on decoding.
    """
    path = Path(path)
    try:
        with (
            _regular(path) as file,
            _pixel_limit(max_pixels or MAX_PIXELS),
            _identified(path, file) as image,
        ):
            if min(image.size) < min_side:
                size = "×".join(map(str, image.size))
                raise ImageError(path, f"is {size} pixels; each side must be at least {min_side}")
            colour = image.info.get("transparency")
            if isinstance(colour, tuple) and ";16" in str(image.tile):  # pixels keep 8 bits
                image.info["transparency"] = tuple(value >> 8 for value in colour)
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


def decode(
    path: Path | str,
    *,
    max_pixels: int | None = None,
    min_side: int = 1,
    on_note: Note | None = None,
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """The pixels of an image.

    Args:
        path, max_pixels, min_side: as in :func:`opened`.
        on_note: called with the path and a remark if part of the file is left out (an animation).

    Returns:
        uint8 (H, W, 3), or float32 (H, W) in [0, 1] for greyscale of more than 8 bits.

    Raises:
        ImageError: as :func:`opened`; or damaged, or of values with an unknown scale.
    """
    with opened(path, max_pixels=max_pixels, min_side=min_side) as image:
        if getattr(image, "is_animated", False) and on_note is not None:
            frames = getattr(image, "n_frames", "several")
            on_note(Path(path), f"has {frames} frames; the first is used")
        deep = _deep(path, image)
        return np.array(rgb(path, image)) if deep is None else deep


def rgb(path: Path | str, image: Image.Image) -> Image.Image:
    """An :func:`opened` image in 8 bits RGB, upright; deeper greyscale is rounded.

    Raises:
        ImageError: values with an unknown scale.
    """
    deep = _deep(path, image)
    if deep is not None:
        return Image.fromarray((deep * 255).round().astype(np.uint8)).convert("RGB")
    image = _upright(image)
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow converts only LA to RGBA
            image = image.convert("LA")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an :func:`opened` image once it is upright.

    A JPEG has it in its header, so it can still be decoded small (``draft``); others are decoded.
    """
    if image.format not in ("JPEG", "MPO"):
        image.load()
    width, height = image.size
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise ImageError(path, "is a folder" if is_folder else "is not a regular file")
    if status.st_size > MAX_BYTES:
        raise ImageError(path, f"has {status.st_size:,} bytes, over the limit of {MAX_BYTES:,}")


def _regular(path: Path) -> BinaryIO:
    """A regular file, opened.

    Others are refused unopened: a pipe waits for its writer, and a device may act on being opened.
    The second check is of the opened file, in case it was replaced meanwhile.
    """
    _require_regular(path, path.stat())
    without_waiting = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | without_waiting))  # noqa: SIM115
    try:
        _require_regular(path, os.fstat(file.fileno()))
    except ImageError:
        file.close()
        raise
    return file


@contextlib.contextmanager
def _pixel_limit(limit: int) -> Iterator[None]:
    """Replace Pillow's limit by ``limit``, and its warning by an error.

    Pillow's check also sees images nested in others (icons) before they are decoded. Its limit is
    global, hence the lock and the restoration.
    """
    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _identified(path: Path, file: BinaryIO) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(1024).removeprefix(b"\xef\xbb\xbf")
        if not start:
            reason = "is empty (0 bytes)"
        elif _is_html(start):
            reason = "looks like an HTML page, not an image; was the download an error page?"
        elif start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
            reason = "is PostScript, not a photograph; convert it to PNG"
        else:
            known = ", ".join(_formats())
            reason = f"is not an image of a known format ({known}), or its header is damaged"
        raise ImageError(path, reason) from None


def _is_html(start: bytes) -> bool:
    """Whether an HTML page begins in ``start``, after any comments."""
    text = start.lower().lstrip()
    while text.startswith(b"<!--"):
        text = text.partition(b"-->")[2].lstrip()
    return re.match(rb"<(!doctype\s+html|html|head|body)\b", text) is not None


def _too_large(error: Exception, max_pixels: int | None) -> str:
    count = re.search(r"(\d+) pixels", str(error))
    has = f"{int(count[1]):,}" if count else "more"
    more = "shrink it" if max_pixels is None else "shrink it or raise the limit (max_pixels)"
    return f"has {has} pixels, over the limit of {max_pixels or MAX_PIXELS:,}; {more}"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels may be fine despite damaged EXIF data
        return 1


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _deep(path: Path | str, image: Image.Image) -> NDArray[np.float32] | None:
    """Greyscale of more than 8 bits as float32 (H, W) in [0, 1], upright; None for other images.

    Integers have 16 bits (0 to 65535), or as many as a TIFF file says up to that; floats are in
    [0, 1]. Other ranges are refused: with a guessed scale the picture could silently be black or
    white.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    if kind := _misread(tags, bits):
        raise ImageError(Path(path), f"is a TIFF of {bits} bits {kind}; save it another way")
    if not (image.mode == "F" or image.mode.startswith("I")):
        return None
    integer = image.mode != "F"
    bits = min(bits, 16)
    top = 2**bits - 1 if integer else 1
    values = np.array(_upright(image))
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # NaN fails both
        kind = "an integer" if integer else "a float"
        raise ImageError(
            Path(path), f"is {kind} image with values from {low} to {high}; expected 0 to {top}"
        )
    scaled = values / np.float64(top)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts only 8 bits
        scaled = 1 - scaled
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 1
    return scaled.astype(np.float32)


def _misread(tags: Any, bits: int) -> str:
    """A property of a TIFF that Pillow (13.0) silently decodes to wrong values, or ""."""
    if tags.get(_SAMPLES, (1,))[0] == 2 and bits < 32:  # in 32 bits the values show it
        return "with a sign"
    if tags.get(_PLANES) == 2 and bits > 8:
        return "in separate colour planes"
    if getattr(tags, "prefix", b"") == b"MM" and bits == 32 and tags.get(_COMPRESSION) != 1:
        return "compressed, high byte first"
    return ""
