"""Image files as a sequence that reads each on access, so that thousands fit into memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from asr_core.data.images import ImageError, opened
from asr_core.errors import InputError
from styletransfer.images.read import MAX_PIXELS, MIN_SIDE, PathLike, find_images, read_image

_KEPT = 32


class LazyImages(Sequence[Tensor]):
    """The images that ``paths`` name, each float32 (3, H, W) in [0, 1].

    A bad file in a folder is skipped and reported: at once where its header shows it, otherwise on
    first access. Then the next good file takes its place, always the same one, so that equal
    indices give equal images. A bad file given by its own name is an error.

    Args:
        paths: files and folders, as :func:`styletransfer.images.read.find_images` takes them.
        on_skip: called once for every file skipped, with the path and the reason.
        max_pixels: the largest width × height.
        size: resize the shorter side to this.

    Raises:
        InputError: no such path, a bad file given by name, or no file that could be used.
    """

    def __init__(
        self,
        paths: Iterable[PathLike],
        *,
        on_skip: Callable[[Path, str], None],
        max_pixels: int = MAX_PIXELS,
        size: int | None = None,
    ) -> None:
        paths = list(paths)
        self._on_skip = on_skip
        self._given = {os.path.realpath(path) for path in paths if not Path(path).is_dir()}
        self._skipped: set[Path] = set()
        self._files: list[Path] = []
        found = find_images(paths, on_skip=on_skip)
        for path in found:
            try:
                with opened(path, max_pixels=max_pixels, min_side=MIN_SIDE):
                    self._files.append(path)
            except ImageError as error:
                self._skip(error)
        if not self._files:
            raise InputError(f"none of the {len(found)} files is a usable image")

        @functools.lru_cache(maxsize=_KEPT)
        def read(path: Path) -> Tensor:
            return read_image(path, max_pixels=max_pixels, size=size)

        self._read = read

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        start = range(len(self))[index]
        for path in self._files[start:] + self._files[:start]:
            try:
                return self._read(path)
            except ImageError as error:
                self._skip(error)
        raise InputError(f"none of the {len(self)} files could be decoded")

    def _skip(self, error: ImageError) -> None:
        if os.path.realpath(error.path) in self._given:
            raise error
        if error.path not in self._skipped:
            self._skipped.add(error.path)
            self._on_skip(error.path, error.reason)
