"""The folder of a run: what is in it, and whether a run may use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_core.checkpoint import load_torch, save_torch
from asr_core.errors import CheckpointError, InputError
from asr_core.training.history import METRICS, TIMING

SCHEMA = 1
CONFIG, RESULT, PARITY = "config.json", "result.json", "parity.json"
LAST, BEST = "last.pt", "best.pt"
FUSED, MODEL = "fused.safetensors", "model.safetensors"
ATTENTION = "attention.npz"
UNIMPORTANT = ("config.data_folder", "config.recipe.source", "config.recipe.notes")
"""What may differ when a run is gone on with: data is known by its figures, not by its place."""
OURS = (
    CONFIG, RESULT, PARITY, LAST, BEST, METRICS, TIMING,
    FUSED, "fused.json", MODEL, "model.json", ATTENTION,
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    ``config.json`` says all that is needed to run it again. ``last.pt`` holds the state of the run
    after its last saved step, ``best.pt`` the model of the epoch that was best on validation;
    ``metrics.csv`` and ``timing.csv`` have a row an epoch, as has ``attention.npz``, where gates
    are recorded. A finished run adds ``result.json`` and ``fused.safetensors`` with its JSON and
    ``parity.json``, or, where there was no ASR to fold, ``model.safetensors``.
    """

    path: Path

    def check(self, *, overwrite: bool) -> None:
        """Refuse a folder that is in use by anything but an interrupted run; nothing is written.

        Raises:
            InputError: a file, or without ``overwrite`` a folder that holds a finished run or
                other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; a run needs a folder")
        if overwrite or not self.path.exists():
            return
        if (self.path / RESULT).exists():
            raise InputError(
                f"{self.path} holds a finished run; choose another folder, or overwrite it "
                "(--overwrite)"
            )
        others = set(self.path.iterdir()) - set(self._drafts())
        if others and not is_run(self.path):
            raise InputError(
                f"{self.path} holds other files; choose another folder, or overwrite ours in it "
                "(--overwrite)"
            )

    def open(self, *, overwrite: bool) -> None:
        """Make the folder; what an earlier run left there goes with ``overwrite``.

        Half-written files that a killed run left behind go in any case; other files stay.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for draft in self._drafts():
            draft.unlink(missing_ok=True)
        for name in OURS if overwrite else ():
            (self.path / name).unlink(missing_ok=True)

    def _drafts(self) -> list[Path]:
        """Files that were being written when the process was killed."""
        names = (Path(name) for name in OURS)
        return [p for n in names for p in self.path.glob(f".{n.stem}.*{n.suffix}")]

    def save_state(self, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Replace ``last.pt``, atomically.

        Args:
            identity: what decides the run, as JSON-able data.
            state: tensors in plain containers.

        Raises:
            OSError: the disk is full; the last state is as it was.
        """
        save_torch(self.path / LAST, {**state, "identity": dict(identity)})

    def save_best(
        self, identity: Mapping[str, Any], model: Mapping[str, Tensor], epoch: int
    ) -> None:
        """Replace ``best.pt``, atomically, by a backbone's state dict after ``epoch``."""
        state = {"identity": dict(identity), "model": dict(model), "epoch": epoch}
        save_torch(self.path / BEST, state)

    def load_state(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The state of the run, or None where there is none yet.

        Raises:
            CheckpointError: damaged, or of a run with another identity; the fields that differ
                are named.
        """
        path = self.path / LAST
        if not path.exists():
            return None
        state = load_torch(path)
        if not isinstance(state, dict) or not isinstance(saved := state.get("identity"), dict):
            raise CheckpointError(f"{path}: holds no interrupted run; remove it")
        differing = _differing(saved, identity)
        if differing:
            raise CheckpointError(
                f"{path}: the interrupted run differs in {'; '.join(differing)}. Give the same "
                "options, or choose another folder, or overwrite it (--overwrite)"
            )
        return state


def is_run(folder: Path) -> bool:
    """Whether ``folder`` holds the ``config.json`` of a run."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() == {"schema", "config", "data", "setting"}


def _differing(saved: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> list[str]:
    """The fields that differ, each with both values; None where one side has none."""
    found = []
    for name in dict.fromkeys([*now, *saved]):
        old, new = saved.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differing(old, new, f"{inside}{name}.")
        elif old != new and inside + name not in UNIMPORTANT:
            found.append(f"{inside}{name} ({_short(old)}, now {_short(new)})")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
