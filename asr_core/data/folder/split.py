"""Sets that do not fit into memory: files, decoded in parallel as batches are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from asr_core import limits
from asr_core.data.folder.class_files import Skip
from asr_core.data.folder.decode import Sample, check, square
from asr_core.data.folder.workers import check_workers, in_workers
from asr_core.data.images import ImageError
from asr_core.data.split import Split
from asr_core.errors import InputError

_CHECKED_AT_ONCE = 64


class FolderSplit(Split):
    """Image files, cropped to squares (:func:`asr_core.data.folder.decode.square`).

    Args:
        paths: the files, (N,).
        labels: int64 (N,).
        image_size: side of the squares, in pixels.
        workers: processes that decode for the streams; None for one per processor, 0 for none.
            They do not change the batches.

    Raises:
        InputError: not as many labels as paths, bad labels, or a size or number out of range. On
            reading: a file cannot be decoded; naming it.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Tensor,
        *,
        image_size: int = 224,
        workers: int | None = None,
    ) -> None:
        super().__init__(labels)
        if len(paths) != len(labels):
            raise InputError(f"{len(paths)} files have {len(labels)} labels; give each one")
        limits.whole("image size", image_size, 1, limits.SIDE)
        self.paths = paths
        self.image_size = image_size
        self.workers = check_workers(workers)

    def test_batch(self, indices: Tensor) -> Tensor:
        """The images at ``indices``, decoded in this process."""
        return next(self._decoded([self._tests(indices)], workers=0))

    def train_stream(self, requests: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Random squares, mirrored or not, decoded ahead in the workers."""
        return self._decoded((self._training(*request) for request in requests), self.workers)

    def test_stream(self, requests: Iterable[Tensor]) -> Iterator[Tensor]:
        """Central squares, decoded ahead in the workers."""
        return self._decoded(map(self._tests, requests), self.workers)

    # Workers receive paths, not indices: a forked list of a million paths would in time be copied
    # into each of them.

    def _training(self, indices: Tensor, draws: Tensor) -> list[Sample]:
        pairs = zip(indices.tolist(), draws.tolist(), strict=True)
        return [Sample(self.paths[index], draw) for index, draw in pairs]

    def _tests(self, indices: Tensor) -> list[Sample]:
        return [Sample(self.paths[index]) for index in indices.tolist()]

    def _decoded(self, requests: Iterable[list[Sample]], workers: int) -> Iterator[Tensor]:
        on_gpu = self.device.type == "cuda"
        decode = partial(_batch, size=self.image_size)
        for batch in in_workers(decode, requests, workers=workers, pin=on_gpu):
            if not isinstance(batch, Tensor):
                path, reason = batch
                raise InputError(
                    f"{path}: unreadable image ({reason}); delete or replace it, or skip such "
                    'files (on_unreadable="skip")'
                )
            yield batch.to(self.device, non_blocking=on_gpu).float().div_(255)


def unreadable(paths: Sequence[str], *, workers: int | None = None) -> list[Skip]:
    """Those of ``paths`` that cannot be decoded, with the reason, after reading every file."""
    parts = (
        paths[start : start + _CHECKED_AT_ONCE] for start in range(0, len(paths), _CHECKED_AT_ONCE)
    )
    faults = in_workers(_faults, parts, workers=check_workers(workers))
    return [fault for part in faults for fault in part]


def _batch(samples: list[Sample], size: int) -> Tensor | Skip:
    """uint8 (n, 3, size, size), or the first file that cannot be decoded.

    Errors are returned: raised in a worker, they would arrive with a traceback as text.
    """
    try:
        squares = [square(sample, size) for sample in samples]
    except ImageError as error:
        return error.path, error.reason
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def _faults(paths: Sequence[str]) -> list[Skip]:
    faults = []
    for path in paths:
        try:
            check(path)
        except ImageError as error:
            faults.append((error.path, error.reason))
    return faults
