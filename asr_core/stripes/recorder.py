"""Recording the gates of a network while it trains."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from asr_core.data.split import Split
from asr_core.errors import CheckpointError
from asr_core.stripes.record import AttentionRecord, load_record, save_record
from asr_core.stripes.values import gate_values, gate_vectors
from asr_core.training.folder import ATTENTION
from asr_core.training.loop import EpochEnd

RECORDED_IMAGES = 8


class AttentionRecorder:
    """``on_epoch`` of :func:`asr_core.training.train`: adds an epoch to ``attention.npz``.

    The images are spread evenly over the split, the same in every run. An epoch that runs again
    after an interruption replaces its record. Of several processes, use one in the first alone.

    Args:
        folder: that of the run.
        split: the validation split, with batches on the model's device.
        images: the number of images, at most.
    """

    def __init__(self, folder: Path, split: Split, *, images: int = RECORDED_IMAGES) -> None:
        count = min(images, len(split))
        self.indices = torch.arange(count) * len(split) // count
        self._path = folder / ATTENTION
        self._images = split.test_batch(self.indices)

    def __call__(self, end: EpochEnd) -> None:
        """Record the epoch.

        Raises:
            CheckpointError: the record lacks earlier epochs.
        """
        kept = AttentionRecord(self.indices)
        if end.epoch:
            kept = load_record(self._path)
            if kept.epochs < end.epoch:
                raise CheckpointError(
                    f"{self._path}: has {kept.epochs} epochs of {end.epoch}; "
                    "overwrite the run to record them all"
                )
        gates, _ = gate_values(end.model, [self._images])
        vectors = gate_vectors(end.model)
        record = AttentionRecord(
            self.indices,
            {n: _appended(kept.live.get(n), v, end.epoch) for n, v in gates.items()},
            {n: _appended(kept.asr.get(n), v, end.epoch) for n, v in vectors.items()},
        )
        save_record(self._path, record)


def _appended(kept: Tensor | None, now: Tensor, epoch: int) -> Tensor:
    """The first ``epoch`` rows of ``kept``, and one more."""
    return now[None] if kept is None else torch.cat([kept[:epoch], now[None]])
