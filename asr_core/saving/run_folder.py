"""The folder of a run: who may write to it, and whether an earlier run may continue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from asr_core.errors import CheckpointError, InputError
from asr_core.saving.checkpoint import load_torch
from asr_core.saving.exclusive import contents, exclusive
from asr_core.saving.text_files import check_plain


@dataclass(frozen=True)
class RunFolder:
    """A folder that one run writes to. Each kind of run has a subclass.

    Attributes:
        path: the folder; it is made when a run claims it.
        overwrite: whether it may hold a finished run or other files; those files stay.
        result: name of the file that a finished run leaves.
        replaced: names of the files that are removed when a run is overwritten.
    """

    path: Path
    overwrite: bool = False
    result: ClassVar[str]
    replaced: ClassVar[tuple[str, ...]] = ()

    @property
    def finished(self) -> bool:
        """Whether the folder holds a finished run."""
        return (self.path / self.result).exists()

    @property
    def resumable(self) -> bool:
        """Whether the folder holds an unfinished run that can continue."""
        return False

    def check(self) -> None:
        """Refuse a folder that a run must not write to; nothing is written.

        Raises:
            InputError: it is a file, or holds a finished run or other files and ``overwrite`` is
                off.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; a run needs a folder")
        if self.overwrite or not self.path.exists():
            return
        if self.finished:
            raise InputError(
                f"{self.path} holds a finished run; choose another folder, or overwrite it"
            )
        if contents(self.path) and not self.resumable:
            raise InputError(
                f"{self.path} holds other files; choose another folder, or overwrite ours in it"
            )

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the folder, and remove the files of an overwritten run.

        Raises:
            InputError: another process holds it, or as :meth:`check`.
        """
        self.check()
        with exclusive(self.path):
            self.check()  # another run may have ended meanwhile
            for name in self.replaced if self.overwrite else ():
                (self.path / name).unlink(missing_ok=True)
            yield


def read_state(path: Path, identity: str = "identity") -> dict[str, Any]:
    """The state of an unfinished run, from :func:`asr_core.saving.checkpoint.save_torch`.

    ``identity`` is the name of the field that identifies the run, as plain data.

    Raises:
        CheckpointError: damaged, unsafe, or without such a field.
    """
    state = load_torch(path)
    if not isinstance(state, dict) or not isinstance(state.get(identity), dict):
        raise CheckpointError(f"{path}: holds no run; remove it")
    check_plain(state[identity], f"{path}: {identity}", error=CheckpointError)
    return state


def require_same(
    earlier: Mapping[str, Any],
    now: Mapping[str, Any],
    where: Path,
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Refuse to continue or reuse a run that was made with other options.

    Args:
        earlier: identity of the earlier run, as plain data.
        now: identity of this run.
        where: file or folder of the earlier run.
        ignored: dotted names of fields that may differ.

    Raises:
        CheckpointError: naming the fields that differ, with both values.
    """
    if differing := _differing(earlier, now, ignored):
        raise CheckpointError(
            f"{where}: the run there differs in {'; '.join(differing)}. Give the same options, "
            "choose another folder, or overwrite it"
        )


def _differing(
    earlier: Mapping[str, Any], now: Mapping[str, Any], ignored: tuple[str, ...], inside: str = ""
) -> list[str]:
    differing = []
    for name in dict.fromkeys([*now, *earlier]):
        old, new = earlier.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differing += _differing(old, new, ignored, f"{inside}{name}.")
        elif old != new and inside + name not in ignored:
            differing.append(f"{inside}{name} ({_short(old)}, now {_short(new)})")
    return differing


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
