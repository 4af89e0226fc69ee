"""Image files and folders to tensors, one at a time, and tensors to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from asr_core import limits
from asr_core.data.folder.tree import files_below
from asr_core.data.images import ImageError, Note, decode, opened
from asr_core.errors import InputError
from asr_core.saving.files import atomic_path
from styletransfer.images.names import unique_names

MAX_PIXELS = 50_000_000
MIN_SIDE = 16

_JPEG = {"quality": 95, "subsampling": 0}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {".png": {}, ".jpg": _JPEG, ".jpeg": _JPEG}

PathLike = str | os.PathLike[str]


def read_image(
    path: PathLike,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    size: int | None = None,
    crop: bool = False,
    on_note: Note | None = None,
) -> Tensor:
    """Read one image file.

    Args:
        path: the file, of a format in :data:`asr_core.data.images.FORMATS`.
        max_pixels: the largest width × height, checked before decoding and after resizing.
        min_side: the smallest width and height.
        size: resize the shorter side to this (antialiased bicubic; smaller images are enlarged).
        crop: after resizing, keep the central ``size`` × ``size``.
        on_note: called with the path and a remark when only the first frame is used.

    Returns:
        float32 (3, H, W) in [0, 1].

    Raises:
        ImageError: (an InputError) missing, empty, damaged, no image, or outside the limits.
        InputError: ``size`` below 1, or ``crop`` without ``size``.
    """
    _check_size(size, crop)
    path = Path(path)
    pixels = torch.from_numpy(
        decode(path, max_pixels=max_pixels, min_side=min_side, on_note=on_note)
    )
    height, width = _target(path, (pixels.shape[0], pixels.shape[1]), size, max_pixels)
    if pixels.ndim == 2:
        return _cropped(_plane(pixels, height, width), size, crop).expand(3, -1, -1).contiguous()
    image = torch.empty(3, height, width)
    for channel in range(3):  # one at a time: a large photograph is never in float three times
        image[channel] = _plane(pixels[:, :, channel], height, width)
    return _cropped(image, size, crop)


def find_images(
    paths: PathLike | Iterable[PathLike], *, on_skip: Note = lambda path, reason: None
) -> list[Path]:
    """The files that ``paths`` name; those of folders sorted.

    Subfolders are searched, without hidden files and folders and without following links. A file
    named twice comes once. Nothing is opened, so that a file need not be an image.

    Args:
        paths: files and folders, or links to them.
        on_skip: called with the path and the reason for entries of a folder that are no regular
            files.

    Raises:
        InputError: no path at all, one that does not exist, or a folder without files.
    """
    return list(_find(paths, on_skip))


def read_images(
    paths: PathLike | Iterable[PathLike],
    *,
    on_skip: Callable[[Path, str], None],
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    size: int | None = None,
    crop: bool = False,
    on_note: Note | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Read files and folders of images as a stream, with one image in memory at a time.

    A bad file in a folder is skipped and reported. A bad file given by its own name is an error,
    raised before the first image is decoded where the header shows it.

    Args:
        paths: files and folders, as :func:`find_images` takes them.
        on_skip: called with the path and the reason for every file skipped.
        max_pixels, min_side, size, crop, on_note: as in :func:`read_image`.

    Returns:
        An iterator of (name, float32 (3, H, W) in [0, 1]). Names are the files' stems, made unique
        by their folders where needed; they are fit for output files.

    Raises:
        InputError: as :func:`find_images` and :func:`read_image`; or no file could be used.
    """
    _check_size(size, crop)
    found = _find(paths, on_skip)
    for path, given in found.items():
        if given:
            with opened(path, max_pixels=max_pixels, min_side=min_side):
                pass

    def stream() -> Iterator[tuple[str, Tensor]]:
        count, first = 0, ""
        for name, (path, given) in zip(unique_names(list(found)), found.items(), strict=True):
            try:
                image = read_image(
                    path,
                    max_pixels=max_pixels,
                    min_side=min_side,
                    size=size,
                    crop=crop,
                    on_note=on_note,
                )
            except ImageError as error:
                if given:
                    raise
                on_skip(path, error.reason)
                first = first or str(error)
                continue
            count += 1
            yield name, image
            del image  # before the next is decoded
        if not count:
            raise InputError(
                f"none of the {len(found)} files is a usable image; the first: {first}"
            )

    return stream()


def write_image(path: PathLike, image: Tensor) -> None:
    """Write ``image`` atomically as PNG, or as JPEG of quality 95, by the suffix of ``path``.

    Args:
        path: ends in ``.png``, ``.jpg`` or ``.jpeg``.
        image: (3, H, W); values outside [0, 1] are clamped, then rounded to 8 bits.

    Raises:
        InputError: another suffix, another shape, or values that are not finite.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SAVE_OPTIONS:
        known = ", ".join(_SAVE_OPTIONS)
        raise InputError(f"cannot write {path}: the suffix must be one of {known}")
    if image.ndim != 3 or image.shape[0] != 3:
        raise InputError(f"cannot write {path}: expected (3, H, W), got {tuple(image.shape)}")
    image = image.detach().float().cpu()
    if not image.isfinite().all():
        raise InputError(f"cannot write {path}: the image has values that are not finite")
    pixels = torch.empty(*image.shape[1:], 3, dtype=torch.uint8)
    for channel in range(3):  # one at a time, as in reading
        pixels[..., channel] = (image[channel].clamp(0, 1) * 255).round().byte()
    with atomic_path(path) as temporary:
        Image.fromarray(pixels.numpy()).save(temporary, **_SAVE_OPTIONS[suffix])


def _find(paths: PathLike | Iterable[PathLike], on_skip: Note) -> dict[Path, bool]:
    """The files, and whether each was given by its own name."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, bool] = {}
    by_identity: dict[str, Path] = {}
    for path in map(Path, paths):
        files = _files_in(path, on_skip) if path.is_dir() else [path]
        for file in files:
            if not path.is_dir() and not os.path.lexists(file):
                raise ImageError(file, "no such file")
            first = by_identity.setdefault(os.path.realpath(file), file)
            found[first] = found.get(first, False) or not path.is_dir()
    if not found:
        raise InputError("no images given; name files or folders")
    return found


def _files_in(folder: Path, on_skip: Note) -> list[Path]:
    files = sorted(map(Path, files_below(folder, on_skip=on_skip)))
    if not files:
        raise InputError(f"{folder}: the folder holds no files")
    return files


def _check_size(size: int | None, crop: bool) -> None:
    if size is not None:
        limits.whole("size", size, 1, limits.SIDE)
    if crop and size is None:
        raise InputError("crop needs a size: the side of the square to keep")


def _target(
    path: Path, shape: tuple[int, int], size: int | None, max_pixels: int
) -> tuple[int, int]:
    """Height and width after resizing the shorter side of ``shape`` to ``size``."""
    height, width = shape
    if size is None:
        return height, width
    short = min(height, width)
    height, width = size * height // short, size * width // short
    if height * width > max_pixels:  # a narrow strip can grow beyond all measure
        raise ImageError(
            path,
            f"would be {width}×{height} pixels at size {size}, over the limit of {max_pixels:,}; "
            "choose a smaller size or raise the limit (max_pixels)",
        )
    return height, width


def _plane(values: Tensor, height: int, width: int) -> Tensor:
    """One channel (H, W), uint8 or float in [0, 1], as float (height, width) in [0, 1]."""
    plane = values.float() / 255 if values.dtype == torch.uint8 else values
    if plane.shape == (height, width):
        return plane
    resized = F.interpolate(plane[None, None], (height, width), mode="bicubic", antialias=True)
    return resized[0, 0].clamp(0, 1)  # bicubic overshoots at edges


def _cropped(image: Tensor, size: int | None, crop: bool) -> Tensor:
    """The central ``size`` × ``size`` of (…, H, W), when asked for."""
    if not crop or size is None:
        return image
    top, left = ((side - size) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size].contiguous()
