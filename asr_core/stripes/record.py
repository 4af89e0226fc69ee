"""The gates of a run after each epoch, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import check_tensors
from asr_core.saving.files import atomic_path

_LARGEST = 2**31
_LIVE, _ASR, _IMAGES = "live/", "asr/", "images"


@dataclass(frozen=True)
class AttentionRecord:
    """Gates after each of T epochs.

    Attributes:
        images: indices in the validation split of the images for the live gates, int64 (n,).
        live: float32 (T, n, C) by the attention module's name, in the model's order.
        asr: v, float32 (T, C) by the layer's name.
    """

    images: Tensor
    live: Mapping[str, Tensor] = field(default_factory=dict)
    asr: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """T."""
        return max((len(values) for values in [*self.live.values(), *self.asr.values()]), default=0)


def save_arrays(path: Path | str, arrays: Mapping[str, Tensor]) -> None:
    """Write named arrays as .npz, atomically."""
    with atomic_path(path) as temporary:
        kept: dict[str, Any] = {name: values.numpy() for name, values in arrays.items()}
        np.savez_compressed(temporary, **kept)


def load_arrays(path: Path | str) -> dict[str, Tensor]:
    """Read what :func:`save_arrays` wrote.

    Raises:
        CheckpointError: missing, damaged, or with pickles in it.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if (size := sum(each.file_size for each in arrays.zip.infolist())) > _LARGEST:
                raise ValueError(f"{size} bytes unpacked, of at most {_LARGEST}")
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:  # NumPy and zipfile raise many kinds on damaged files
        raise CheckpointError(f"{path}: damaged, or no arrays of ours ({error})") from None


def save_record(path: Path | str, record: AttentionRecord) -> None:
    """Write ``record`` as .npz: "images", "live/NAME" and "asr/NAME"; atomically."""
    arrays = {_IMAGES: record.images}
    arrays |= {_LIVE + name: values for name, values in record.live.items()}
    arrays |= {_ASR + name: values for name, values in record.asr.items()}
    save_arrays(path, arrays)


def load_record(path: Path | str) -> AttentionRecord:
    """Read what :func:`save_record` wrote.

    Raises:
        CheckpointError: missing, damaged, or of another kind.
    """
    arrays = load_arrays(path)
    if _IMAGES not in arrays:
        raise CheckpointError(f"{path}: not the record of a run's attention")
    check_tensors(path, arrays)
    for name, values in arrays.items():
        ndim, dtype = (3 if name.startswith(_LIVE) else 2), torch.float32
        if name == _IMAGES:
            ndim, dtype = 1, torch.int64
        if values.ndim != ndim or values.dtype != dtype:
            raise CheckpointError(
                f"{path}: {name} is {values.dtype} {tuple(values.shape)}, not {dtype} of {ndim} "
                "dimensions"
            )
    live = {n.removeprefix(_LIVE): v for n, v in arrays.items() if n.startswith(_LIVE)}
    asr = {n.removeprefix(_ASR): v for n, v in arrays.items() if n.startswith(_ASR)}
    record = AttentionRecord(arrays[_IMAGES], live, asr)
    lengths = {len(values) for values in [*live.values(), *asr.values()]}
    if len(lengths) > 1 or any(v.shape[1] != len(record.images) for v in live.values()):
        raise CheckpointError(f"{path}: its arrays are not of the same epochs and images")
    return record
